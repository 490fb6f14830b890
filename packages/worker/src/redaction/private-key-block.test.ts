import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { defaultPatterns } from "./default-patterns.ts";
import { MARK } from "./mark.ts";
import { PatternSet } from "./pattern-set.ts";
import { Redactor } from "./redactor.ts";

const redactor = new Redactor({ values: [], patterns: new PatternSet(defaultPatterns, { privateKeys: true }) });
const begin = "-----BEGIN PRIVATE KEY-----";
const end = "-----END PRIVATE KEY-----";

/** So many characters of base64. */
function base64(length: number): string {
  return randomBytes(length).toString("base64").replaceAll("=", "A").slice(0, length);
}

function masked(lines: readonly string[]): string[] {
  return redactor.text(lines.join("\n")).split("\n");
}

describe("all lines between BEGIN and END of a private key are masked", () => {
  test.each([[[24, 40, 60]], [[64, 20, 64, 20]], [[8, 8, 8, 8]], [[64, 64, 12, 5]]])(
    "however long they are: %j",
    (lengths) => {
      const body = lengths.map(base64);
      for (const prefix of ["", "12:00:01 web: ", '    "'])
        expect(masked([begin, ...body, end, "after"].map((line) => prefix + line))).toEqual(
          [begin, ...body.map(() => MARK), end, "after"].map((line) => prefix + line),
        );
    },
  );

  test("with empty lines and lines of others in between, which stay", () => {
    const body = [base64(64), base64(30), base64(64), base64(17)];
    const [a = "", b = "", c = "", d = ""] = body;
    const others = ["it is 12:00.", "2 requests were answered"];
    expect(masked([begin, a, "", b, "", ...others, c, d, end])).toEqual([
      ...[begin, MARK, "", MARK, "", ...others, MARK, MARK, end],
    ]);
  });

  test("whose prefix grows by a character", () => {
    const lines = [begin, ...[64, 20, 64, 20].map(base64), end].map((line, i) => `${i + 7} | ${line}`);
    for (const line of masked(lines).slice(1, -1)) expect(line).toMatch(/^\d+ \| \[redacted\]$/);
  });
});

test("a BEGIN without an END hides next to nothing of what follows", () => {
  const log = Array.from({ length: 100 }, (_, i) => [
    `081109 203518 ${i} INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_-16089996 terminating`,
    `17/06/09 20:10:40 INFO storage.BlockManager: Found block rdd_${i} locally at /var/lib/spark/blocks/part`,
    `${i} requests were answered.`,
    "",
    "ok",
  ]).flat();
  const after = masked([begin, base64(64), ...log]).slice(2);
  const changed = after.findLastIndex((line, i) => line !== log[i]);
  expect(changed).toBeLessThan(40);
});

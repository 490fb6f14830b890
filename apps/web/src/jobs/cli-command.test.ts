import { execFileSync } from "node:child_process";
import { RunMode } from "@signalbox/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { shellWords, startCommand } from "./cli-command.ts";
import { logLevelValue } from "./log-level.ts";
import { priorityValue } from "./priority.ts";
import { runValue, speedValue } from "./samples.ts";

test("a start is the command line that does the same", () => {
  const start = {
    type: "index",
    name: "docs of Ada's",
    labels: { team: "search", note: "a b" },
    parameters: { folder: "/srv/a b", zip: "42", depth: 3, skip: ["*.o", "a'b"] },
    levers: [speedValue(20), priorityValue(-5), logLevelValue(4), runValue(RunMode.PAUSE)],
  };
  const schema = { type: "object", properties: { folder: { type: "string" }, zip: {} } };
  expect(startCommand(start, schema)).toBe(
    String.raw`signalbox start index 'folder=/srv/a b' 'zip="42"' depth=3 'skip=["*.o","a'\''b"]' --name 'docs of Ada'\''s' --label team=search --label 'note=a b' --speed 20 --priority=-5 --level warn --paused`,
  );
});

test("a shell reads the same words back", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary" }).filter((word) => !/[\0\ud800-\udfff]/.test(word))), (words) => {
      const echo = "for (const word of process.argv.slice(1)) console.log(JSON.stringify(word))";
      const line = `${shellWords([process.execPath, "-e", echo, "--", ...words])}`;
      const read = execFileSync("/bin/sh", ["-c", line], { encoding: "utf8" });
      expect(
        read
          .split("\n")
          .slice(0, -1)
          .map((each) => JSON.parse(each) as string),
      ).toEqual(words);
    }),
    { numRuns: 15 },
  );
});

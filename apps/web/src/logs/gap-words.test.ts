import { create } from "@bufbuild/protobuf";
import { GapCause, GapSchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { gapWords } from "./gap-words.ts";

const gap = (cause: GapCause, lineCount = 13n, detail = "") =>
  create(GapSchema, { firstLine: 182_990n, lineCount, cause, detail });

test("a gap says how many lines are missing and which", () => {
  expect(gapWords(gap(GapCause.DROPPED_DEBUG))).toMatchObject({
    count: "13\u00a0lines missing",
    range: "182,990 – 183,002",
  });
  expect(gapWords(gap(GapCause.DROPPED_DEBUG, 1n))).toMatchObject({ count: "1\u00a0line missing", range: "182,990" });
});

test("each cause has words of its own", () => {
  const all = Object.values(GapCause).filter((cause) => typeof cause === "number");
  expect(all.length).toBeGreaterThan(5);
  expect(new Set(all.map((cause) => gapWords(gap(cause)).cause)).size).toBe(all.length);
  expect(gapWords(gap(GapCause.SPOOL_CORRUPT, 1n, "segment 3.")).cause).toBe(
    "a part of the worker's spool was damaged and set aside: segment 3",
  );
  expect(gapWords(gap(99 as GapCause)).cause).toBe("the worker declared them missing");
});

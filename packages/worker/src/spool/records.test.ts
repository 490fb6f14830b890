import { ChunkBuilder, GapCause } from "@signalbox/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LineRun } from "../unacked-lines.ts";
import { encodeHead, scanRecords, seedOf } from "./records.ts";
import { encodeRun, lastLineOf, runsOf } from "./segment-runs.ts";

const nothing = new Uint8Array();
const seed = seedOf("of the process");

/** A run of lines as it comes: chunks, some that look like records themselves, and gaps. */
const parts = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ lines: fc.array(fc.string({ maxLength: 30 }), { minLength: 1, maxLength: 5 }) }),
    },
    { weight: 1, arbitrary: fc.record({ missing: fc.integer({ min: 1, max: 1000 }) }) },
    { weight: 1, arbitrary: fc.record({ forged: fc.integer({ min: 1, max: 50 }) }) },
  ),
  { minLength: 1, maxLength: 8 },
);

function runsFrom(story: typeof parts extends fc.Arbitrary<infer T> ? T : never): LineRun[] {
  const runs: LineRun[] = [];
  let firstLine = 1;
  for (const part of story) {
    if ("missing" in part) {
      const cause = GapCause.DROPPED_OLDEST;
      runs.push({ kind: "gap", firstLine, lineCount: part.missing, cause, detail: "full" });
    } else {
      const builder = new ChunkBuilder();
      const texts = "lines" in part ? part.lines.map((text) => Buffer.from(`${text}\n`)) : [forged(part.forged)];
      for (const text of texts) builder.add(text, { timeUs: 1 });
      runs.push({ kind: "chunk", firstLine, lineCount: texts.length, bytes: builder.build(firstLine) });
    }
    firstLine += runs.at(-1)?.lineCount ?? 0;
  }
  return runs;
}

/** A line that a job prints to be taken for a record. */
function forged(firstLine: number): Buffer {
  const payload = Buffer.from("forged");
  return Buffer.concat([
    encodeHead("chunk", { firstLine, lineCount: 1 }, payload, seedOf("")),
    payload,
    Buffer.from("\n"),
  ]);
}

function segmentOf(runs: readonly LineRun[]): Buffer<ArrayBuffer> {
  const note = Buffer.from("{}");
  const head = [encodeHead("note", { firstLine: 1, lineCount: 0 }, note, seed), note];
  const ack = encodeHead("ack", { firstLine: 1, lineCount: 0 }, nothing, seed);
  return Buffer.concat([...head, ...runs.flatMap((run) => [...encodeRun(run, seed), ack])]);
}

const same = (a: LineRun, b: LineRun) =>
  a.firstLine === b.firstLine &&
  a.lineCount === b.lineCount &&
  (a.kind === "chunk"
    ? b.kind === "chunk" && Buffer.compare(a.bytes, b.bytes) === 0
    : b.kind === "gap" && a.cause === b.cause);

/** Each run is one that was written, or a declared loss; numbers follow on each other. */
function expectNoWrongLine(found: readonly LineRun[], written: readonly LineRun[]): void {
  let next = 1;
  for (const run of found) {
    expect(run.firstLine).toBe(next);
    next += run.lineCount;
    if (run.kind === "gap" && run.cause === GapCause.SPOOL_CORRUPT) continue;
    expect(written.some((each) => same(each, run))).toBe(true);
  }
}

describe("a segment", () => {
  test("gives back what was written", () => {
    fc.assert(
      fc.property(parts, (story) => {
        const written = runsFrom(story);
        const scan = scanRecords(segmentOf(written), seed);
        const found = runsOf(scan, { firstLine: 1 });
        expect(scan.isDamaged).toBe(false);
        expect(found.length).toBe(written.length);
        expect(found.every((run, i) => same(run, written[i] ?? run))).toBe(true);
        expect(lastLineOf(scan)).toBe((written.at(-1)?.firstLine ?? 0) + (written.at(-1)?.lineCount ?? 0));
      }),
    );
  });

  test("that is cut off anywhere gives the lines before the cut, and is no damage", () => {
    fc.assert(
      fc.property(parts, fc.nat(), (story, at) => {
        const written = runsFrom(story);
        const whole = segmentOf(written);
        const scan = scanRecords(whole.subarray(0, at % whole.length), seed);
        const found = runsOf(scan, { firstLine: 1 });
        expect(scan.isDamaged).toBe(false);
        expect(found.every((run, i) => same(run, written[i] ?? run))).toBe(true);
      }),
    );
  });

  test("in which any bit is wrong never gives a wrong line, and says which are lost", () => {
    fc.assert(
      fc.property(parts, fc.nat(), fc.nat({ max: 7 }), (story, at, bit) => {
        const written = runsFrom(story);
        const bytes = segmentOf(written);
        const index = at % bytes.length;
        bytes[index] = (bytes[index] ?? 0) ^ (1 << bit);
        const nextLine = (written.at(-1)?.firstLine ?? 0) + (written.at(-1)?.lineCount ?? 0);
        const found = runsOf(scanRecords(bytes, seed), { firstLine: 1, nextLine });
        expectNoWrongLine(found, written);
        expect(found.reduce((sum, { lineCount }) => sum + lineCount, 1)).toBe(nextLine);
        const lost = found.filter((run) => run.kind === "gap" && run.cause === GapCause.SPOOL_CORRUPT);
        expect(lost.length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 300 },
    );
  });

  test("whose bytes are anything at all gives no line", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (noise) => {
        expect(runsOf(scanRecords(Buffer.from(noise), seed), { firstLine: 1 })).toEqual([]);
      }),
    );
  });
});

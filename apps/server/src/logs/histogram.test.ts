import { create } from "@bufbuild/protobuf";
import { ChunkHeaderSchema } from "@signalbox/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Histogram, mostKeptBuckets } from "./histogram.ts";

const second = 1_000_000;

/** A chunk of `count` INFO lines and `errors` ERROR lines around a moment. */
function header(firstLine: number, count: number, errors: number, atUs: number) {
  return create(ChunkHeaderSchema, {
    firstLine: BigInt(firstLine),
    nextLine: BigInt(firstLine + count + errors),
    orderFirstUs: BigInt(atUs),
    orderLastUs: BigInt(atUs),
    levelCounts: [0, 0, 0, count, 0, errors, 0],
  });
}

test("lines are counted by level in the second of their chunk, with the first line of each second", () => {
  const histogram = new Histogram();
  histogram.add(header(1, 9, 1, 5 * second));
  histogram.add(header(11, 2, 0, 5.9 * second));
  histogram.skip(20);
  histogram.add(header(20, 1, 3, 8 * second));
  // What comes again is not counted again.
  histogram.add(header(20, 1, 3, 8 * second));
  expect(histogram.nextLine).toBe(24);
  expect(histogram.read(100)).toEqual({
    fromUs: 5 * second,
    bucketUs: second,
    buckets: [
      { firstLine: 1, levelCounts: [0, 0, 0, 11, 0, 1, 0] },
      { firstLine: 0, levelCounts: [0, 0, 0, 0, 0, 0, 0] },
      { firstLine: 0, levelCounts: [0, 0, 0, 0, 0, 0, 0] },
      { firstLine: 20, levelCounts: [0, 0, 0, 1, 0, 3, 0] },
    ],
  });
});

test("however long a job runs the buckets are few, on one grid, and no line is lost or counted twice", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          // From a burst to a pause of months.
          waitUs: fc.oneof(fc.nat(3 * second), fc.nat(3_600 * second), fc.nat(9e12)),
          count: fc.integer({ min: 1, max: 50 }),
          errors: fc.nat(5),
        }),
        { minLength: 1, maxLength: 200 },
      ),
      fc.integer({ min: 1, max: 400 }),
      (chunks, most) => {
        const histogram = new Histogram();
        let [line, atUs] = [1, 1_790_000_000 * second];
        const placed: { line: number; atUs: number; lines: number }[] = [];
        for (const { waitUs, count, errors } of chunks) {
          atUs += waitUs;
          histogram.add(header(line, count, errors, atUs));
          placed.push({ line, atUs, lines: count + errors });
          line += count + errors;
        }
        for (const limit of [mostKeptBuckets, most]) {
          const { fromUs, bucketUs, buckets } = histogram.read(limit);
          expect(buckets.length).toBeLessThanOrEqual(limit);
          expect([fromUs % bucketUs, bucketUs % second]).toEqual([0, 0]);
          const naive = buckets.map(() => ({ firstLine: 0, lines: 0 }));
          for (const each of placed) {
            const into = naive[Math.floor((each.atUs - fromUs) / bucketUs)];
            if (!into) throw new Error("a chunk lies beside the buckets");
            into.firstLine ||= each.line;
            into.lines += each.lines;
          }
          expect(
            buckets.map(({ firstLine, levelCounts }) => ({
              firstLine,
              lines: levelCounts.reduce((sum, lines) => sum + lines, 0),
            })),
          ).toEqual(naive);
        }
      },
    ),
    { numRuns: 100 },
  );
});

import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { GetHistogramResponseSchema } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { readHistogram, type Histogram } from "./histogram.ts";
import { countSpan, formatSpan, parseSpan, spanBetween, widenSpan, type TimeSpan } from "./span.ts";

const second = 1_000_000;
const began = 1_790_000_000 * second;

function counted(lines: readonly number[], bucketSeconds = 2): Histogram {
  let next = 1;
  const buckets = lines.map((count) => {
    const firstLine = count > 0 ? BigInt(next) : 0n;
    next += count;
    return { firstLine, levelCounts: [0, 0, 0, count, 0, 0, 0] };
  });
  const bucketUs = BigInt(bucketSeconds * second);
  return readHistogram(
    create(GetHistogramResponseSchema, { fromUs: BigInt(began), bucketUs, endLine: BigInt(next), buckets }),
  );
}

const at = (from: number, to: number): TimeSpan => ({ fromUs: began + from * second, toUs: began + to * second });
/** 100 lines, none, 1,000, none, 50: two seconds each. */
const histogram = counted([100, 0, 1_000, 0, 50]);

describe("a span of time", () => {
  test("is the same when it was in a URL; what is none is none", () => {
    expect(formatSpan(at(0, 90))).toBe("20260921T141320Z-20260921T141450Z");
    const seconds = fc.integer({ min: 0, max: 4_000_000_000 });
    fc.assert(
      fc.property(seconds, fc.integer({ min: 1, max: 10_000_000 }), (from, wide) => {
        const span = { fromUs: from * second, toUs: (from + wide) * second };
        expect(parseSpan(formatSpan(span))).toEqual(span);
      }),
    );
    for (const text of [null, "", "1-2", "20260921T141450Z-20260921T141320Z", "20260921T141320Z", `${"9".repeat(99)}`])
      expect(parseSpan(text)).toBeUndefined();
  });

  test("is the buckets that a drag touches, in either direction, and none beyond the lines", () => {
    expect(spanBetween(histogram, began + 2.5 * second, began + 5 * second)).toEqual(at(2, 6));
    expect(spanBetween(histogram, began + 5 * second, began + 2.5 * second)).toEqual(at(2, 6));
    expect(spanBetween(histogram, began - 9 * second, began + 99 * second)).toEqual(at(0, 10));
    expect(spanBetween(histogram, began + 4.2 * second, began + 4.3 * second)).toEqual(at(4, 6));
    expect(spanBetween(histogram, began + 11 * second, began + 99 * second)).toBeUndefined();
    expect(spanBetween(counted([]), began, began + second)).toBeUndefined();
  });

  test("begins with the bucket of a line, and is made wider over what is empty, up to the ends", () => {
    const begun = widenSpan(histogram, undefined, 200, 1);
    expect(begun).toEqual(at(4, 6));
    const right = widenSpan(histogram, begun, 200, 1);
    expect(right).toEqual(at(4, 10));
    expect(widenSpan(histogram, right, 200, 1)).toEqual(right);
    expect(widenSpan(histogram, right, 200, -1)).toEqual(at(0, 10));
    expect(widenSpan(counted([]), undefined, 1, 1)).toBeUndefined();
  });

  test("has the lines of its buckets by number, and says when none can come to it", () => {
    expect(countSpan(histogram, at(4, 6))).toMatchObject({ window: { from: 101, to: 1_101 }, lines: 1_000 });
    expect(countSpan(histogram, at(2, 8))).toMatchObject({ window: { from: 101, to: 1_101 }, complete: true });
    expect(countSpan(histogram, at(2, 4))).toMatchObject({ window: { from: 101, to: 101 }, lines: 0 });
    expect(countSpan(histogram, at(8, 60))).toMatchObject({ window: { from: 1_101, to: 1_151 }, complete: false });
    expect(countSpan(histogram, at(-60, -30))).toMatchObject({ window: { from: 1, to: 1 }, lines: 0 });
    expect(countSpan(histogram, at(30, 60))).toMatchObject({ window: { from: 1_151, to: 1_151 }, lines: 0 });
    // One that begins within a bucket is as wide as its buckets, and says so.
    expect(countSpan(histogram, at(5, 7)).span).toEqual(at(4, 8));
  });

  test("spans side by side share no line and leave none out", () => {
    const lines = fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(lines, fc.nat({ max: 40 }), (counts, cut) => {
        const of = counted(counts, 1);
        const left = countSpan(of, at(0, Math.min(cut, counts.length)));
        const right = countSpan(of, at(Math.min(cut, counts.length), counts.length));
        expect(left.window.to).toBe(right.window.from);
        expect([left.window.from, right.window.to]).toEqual([1, of.endLine]);
        expect(left.lines + right.lines).toBe(of.endLine - 1);
        for (const each of [left, right]) expect(each.window.to - each.window.from).toBe(each.lines);
      }),
    );
  });
});

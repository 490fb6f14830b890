import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { describeRanges, Intervals, type Range } from "./intervals.ts";

const range = fc
  .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 9 }))
  .map(([from, length]): Range => ({
    from,
    to: from + length,
  }));
const ranges = fc.array(range, { maxLength: 12 });
const numbersOf = (all: readonly Range[]) =>
  new Set(all.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i)));
const sorted = (numbers: Iterable<number>) => [...numbers].sort((a, b) => a - b);

describe("a set of ranges", () => {
  test("has the numbers that were added, whatever overlaps or touches, and keeps its ranges apart", () => {
    fc.assert(
      fc.property(ranges, (added) => {
        const set = Intervals.of(...added);
        const plain = numbersOf(added);
        expect(sorted(numbersOf([...set]))).toEqual(sorted(plain));
        expect(set.size).toBe(plain.size);
        expect(set.highest).toBe(Math.max(0, ...plain));
        for (let number = 0; number <= 72; number++) expect(set.has(number)).toBe(plain.has(number));
        const kept = [...set];
        kept.slice(1).forEach(({ from }, i) => expect(from).toBeGreaterThan(kept[i]?.to ?? Infinity));
      }),
    );
  });

  test("is added, taken away and cut as plain sets are", () => {
    fc.assert(
      fc.property(ranges, ranges, (a, b) => {
        const [left, right] = [numbersOf(a), numbersOf(b)];
        const numbers = (set: Intervals) => sorted(numbersOf([...set]));
        expect(numbers(Intervals.of(...a).minus(Intervals.of(...b)))).toEqual(
          sorted([...left].filter((number) => !right.has(number))),
        );
        expect(numbers(Intervals.of(...a).and(Intervals.of(...b)))).toEqual(
          sorted([...left].filter((number) => right.has(number))),
        );
        expect(numbers(Intervals.of(...a).or(Intervals.of(...b)))).toEqual(sorted(new Set([...left, ...right])));
      }),
    );
  });

  test("is told to people in a few words", () => {
    const set = Intervals.of({ from: 3, to: 10 }, { from: 12, to: 13 }, { from: 2000, to: 3001 });
    expect(describeRanges(set)).toBe("3 to 9, 12, 2,000 to 3,000");
    expect(describeRanges(set, 1)).toBe("3 to 9 and 2 more");
  });
});

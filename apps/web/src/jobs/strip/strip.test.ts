import { create } from "@bufbuild/protobuf";
import { GetHistogramResponseSchema } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { bars } from "./bars.ts";
import { bucketOfLine, lineOfTime, peakOf, readHistogram, stepLine, tableRows, timeOfLine } from "./histogram.ts";
import { posts } from "./posts.ts";
import { ticks, timeScale } from "./time-scale.ts";

const second = 1_000_000;
const began = 1_790_000_000 * second;

/** Ten seconds: 100 lines, none, 1,000 with one error, none, then 50 of DEBUG. */
const histogram = readHistogram(
  create(GetHistogramResponseSchema, {
    attempt: 1,
    fromUs: BigInt(began),
    bucketUs: BigInt(2 * second),
    endLine: 1151n,
    buckets: [
      { firstLine: 1n, levelCounts: [0, 0, 0, 100, 0, 0, 0] },
      {},
      { firstLine: 101n, levelCounts: [0, 0, 0, 989, 10, 1, 0] },
      {},
      { firstLine: 1101n, levelCounts: [0, 0, 50, 0, 0, 0, 0] },
    ],
  }),
);

describe("lines and times", () => {
  test("the peak is the bucket with most lines of any level", () => {
    expect(peakOf(histogram)).toBe(1_000);
  });

  test("a line has its bucket and about its time, and a time its line", () => {
    expect([1, 100, 101, 1100, 1101, 9_999].map((line) => bucketOfLine(histogram, line))).toEqual([0, 0, 2, 2, 4, 4]);
    expect(timeOfLine(histogram, 1)).toBe(began);
    expect(timeOfLine(histogram, 601)).toBe(began + 5 * second);
    expect(lineOfTime(histogram, began + 5 * second)).toBe(601);
    for (const line of [1, 57, 101, 333, 1100, 1101, 1150]) {
      const us = timeOfLine(histogram, line) ?? 0;
      expect(Math.abs((lineOfTime(histogram, us) ?? 0) - line)).toBeLessThanOrEqual(1);
    }
  });

  test("where nothing was printed the next line is meant, and behind the end the last", () => {
    expect(lineOfTime(histogram, began + 3 * second)).toBe(101);
    expect(lineOfTime(histogram, began - 60 * second)).toBe(1);
    expect(lineOfTime(histogram, began + 60 * second)).toBe(1150);
    expect(lineOfTime({ ...histogram, buckets: [], endLine: 1 }, began)).toBeUndefined();
  });

  test("the arrows go from bucket to bucket and stop at the ends", () => {
    expect(stepLine(histogram, 5, 1)).toBe(101);
    expect(stepLine(histogram, 600, 1)).toBe(1101);
    expect(stepLine(histogram, 1101, 1)).toBeUndefined();
    expect(stepLine(histogram, 1101, -1)).toBe(101);
    expect(stepLine(histogram, 1, -1)).toBeUndefined();
  });

  test("the table has as many rows as it may, and every line is in one of them", () => {
    const rows = tableRows(histogram, 2);
    expect(rows.map(({ bucket }) => bucket.lines)).toEqual([1_100, 50]);
    expect(rows[0]).toMatchObject({ fromUs: began, bucket: { errors: 1, warnings: 10, firstLine: 1 } });
  });
});

describe("the drawing", () => {
  const scale = timeScale(histogram, began, began + 10 * second, 600);

  test("one error in a thousand lines is still 2 px, at the bottom", () => {
    const { errors, warnings, lines } = bars(histogram, scale, 14, 59);
    expect(errors).toBe("M40 57h19v2h-19z");
    // Warnings stand on the errors, at least 1 px.
    expect(warnings).toBe("M40 56h19v1h-19z");
    // Together they never leave their place.
    const tops = [...lines.matchAll(/M[\d.]+ ([\d.]+)h/g)].map(([, y]) => Number(y));
    expect(Math.min(...tops)).toBeGreaterThanOrEqual(14);
  });

  test("a young job is not blown up, and one that is silent goes on to now", () => {
    expect(scale.toUs - scale.fromUs).toBe(60 * second);
    const long = timeScale(histogram, began, began + 1_000 * second, 600);
    expect(long.toUs).toBe(began + 1_000 * second);
    expect(long.x(long.toUs)).toBe(600);
    expect(long.us(300)).toBe(began + 500 * second);
    expect(timeScale(undefined, began, began, 600).fromUs).toBe(began);
  });

  test("ticks are round and far enough apart, for a minute as for a year", () => {
    for (const seconds of [60, 3_600, 86_400, 30 * 86_400, 365 * 86_400]) {
      const marks = ticks(timeScale(undefined, began, began + seconds * second, 900), 900);
      expect(marks.length).toBeGreaterThan(1);
      expect(marks.length).toBeLessThan(11);
      for (const [at, { x }] of marks.entries()) if (at > 0) expect(x - (marks[at - 1]?.x ?? 0)).toBeGreaterThan(90);
    }
    expect(ticks(scale, 600)[0]?.text).toMatch(/^\d\d:\d\d:\d\d$/);
  });

  test("words of commands never overlap; the newest have theirs", () => {
    const marker = (generation: number, atUs: number) => ({
      generation,
      attempt: 1,
      line: 1,
      who: "ana",
      what: "paused",
      short: "pause",
      atUs,
      afterMs: 1,
      proof: "",
    });
    const at = [2, 2.1, 30, 59.9].map((seconds, index) => marker(index, began + seconds * second));
    const drawn = posts(at, scale, 600, 100);
    expect(drawn.map(({ words }) => words)).toEqual(["", "", "pause, ana", "pause, ana"]);
    expect(drawn[3]?.left).toBe(true);
    expect(
      posts(
        Array.from({ length: 1_000 }, (_, each) => marker(each, began)),
        scale,
        600,
        0,
      ),
    ).toHaveLength(200);
  });
});

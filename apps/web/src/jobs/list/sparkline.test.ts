import { create } from "@bufbuild/protobuf";
import { JobTrendSchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { bucketsSince, plotBuckets, sparkPaths, sparkWords } from "./sparkline.ts";

const endMs = new Date(2026, 10, 21, 15, 0, 0).getTime();
const trend = create(JobTrendSchema, {
  ...{ jobId: "j", bucketMs: 5_000, endUs: BigInt(endMs) * 1000n },
  ...{ lines: [0, 50, 100], errors: [0, 2, 0] },
});
const points = (path: string) => path.split(/(?=[ML])/).map((point) => point.slice(1).split(" ").map(Number));

test("the newest bucket stands at the right, its height is its share of the most, and nothing is drawn before the first line", () => {
  expect(points(sparkPaths(trend, 0).lines)).toEqual([
    [57.5, 14.5],
    [58.5, 8],
    [59.5, 1.5],
  ]);
  expect(sparkPaths(trend, 0).errors).toBe("M58.5 18v-2.5");
});

test("quiet buckets push it to the left, and out at last", () => {
  const { lines, errors } = sparkPaths(trend, plotBuckets - 2);
  expect(points(lines)).toHaveLength(plotBuckets);
  expect(points(lines)[0]).toEqual([0.5, 8]);
  expect(errors).toBe("M0.5 18v-2.5");
  expect(sparkPaths(trend, plotBuckets).errors).toBe("");
});

test("a bucket counts as quiet once its word is overdue", () => {
  expect([4_000, 9_999, 10_000, 600_000].map((ms) => bucketsSince(trend, endMs + ms))).toEqual([0, 0, 1, plotBuckets]);
});

test("the plot is said in words", () => {
  expect(sparkWords(trend, endMs).replaceAll("\u00a0", " ")).toBe(
    "150 lines in the last 5 minutes, most 100 in 5 s up to 15:00:00; 2 errors",
  );
});

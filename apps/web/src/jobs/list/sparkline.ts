import type { JobTrend } from "@signalbox/protocol";
import { clock, exact, plural } from "../../ui/format.ts";

/** Buckets of a plot: five minutes of five seconds each. */
export const plotBuckets = 60;
/** Size of a plot, px. */
export const plotWidth = 60;
export const plotHeight = 18;

/** What is drawn of a trend. */
export interface SparkPaths {
  /** The line of lines. */
  readonly lines: string;
  /** Marks of errors at the foot. */
  readonly errors: string;
}

/** How many buckets have passed since the newest one of a trend ended, as far as that shows. `nowMs` is the server's clock. */
export function bucketsSince(trend: JobTrend, nowMs: number): number {
  // The newest bucket is told when it is over, and the next one only when that is over too.
  const passed = Math.floor((nowMs - Number(trend.endUs) / 1000) / trend.bucketMs) - 1;
  return Math.max(0, Math.min(plotBuckets, passed));
}

/** Draws a trend whose newest bucket ended `quiet` buckets ago. Before its first line there is no line. */
export function sparkPaths(trend: JobTrend, quiet: number): SparkPaths {
  const lines = [...trend.lines, ...new Array<number>(quiet).fill(0)].slice(-plotBuckets);
  const first = plotBuckets - lines.length;
  const most = Math.max(1, ...lines);
  const step = plotWidth / plotBuckets;
  const floor = plotHeight - 3.5;
  const x = (at: number) => ((first + at + 0.5) * step).toFixed(1);
  let path = "";
  for (const [at, count] of lines.entries())
    path += `${at === 0 ? "M" : "L"}${x(at)} ${(floor - (count / most) * (floor - 1.5)).toFixed(1)}`;
  let marks = "";
  const left = trend.errors.length + quiet - lines.length;
  for (const [at, count] of trend.errors.entries())
    if (count > 0 && at >= left) marks += `M${x(at - left)} ${plotHeight}v-2.5`;
  return { lines: path, errors: marks };
}

/** The plot in words: what it holds and where its greatest bucket is. `nowMs` is the server's clock. */
export function sparkWords(trend: JobTrend, nowMs: number): string {
  const sum = (counts: readonly number[]) => counts.reduce((all, count) => all + count, 0);
  const lines = sum(trend.lines);
  const errors = sum(trend.errors);
  const most = Math.max(0, ...trend.lines);
  const after = trend.lines.length - 1 - trend.lines.lastIndexOf(most);
  const atUs = Number(trend.endUs) - after * trend.bucketMs * 1000;
  return `${plural(lines, "line")} in the last 5 minutes, most ${exact(most)} in 5 s up to ${clock(atUs, nowMs)}; ${plural(errors, "error")}`;
}

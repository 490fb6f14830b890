import type { Histogram } from "./histogram.ts";

/** A stretch of time across a strip. Times in microseconds since the Unix epoch. */
export interface TimeScale {
  readonly fromUs: number;
  readonly toUs: number;
  /** Where a moment is, px from the left. */
  x(us: number): number;
  /** The moment at a place. */
  us(x: number): number;
}

/** Fewer buckets than this are not drawn wider. */
const leastBuckets = 30;
const second = 1_000_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const year = 365 * day;
const steps = [
  ...[1, 2, 5, 10, 15, 30].map((each) => each * second),
  ...[1, 2, 5, 10, 15, 30].map((each) => each * minute),
  ...[1, 2, 3, 6, 12].map((each) => each * hour),
  ...[1, 2, 7, 14, 30, 90, 365].map((each) => each * day),
];
/** Ticks are so far apart at least, px. */
const tickPx = 96;

/** The time from `beganUs` to `untilUs` with all buckets, on `width` px. It grows by whole buckets: between them nothing moves. */
export function timeScale(
  histogram: Histogram | undefined,
  beganUs: number,
  untilUs: number,
  width: number,
): TimeScale {
  const bucketUs = histogram?.bucketUs ?? second;
  const counted = histogram && histogram.buckets.length > 0 ? histogram : undefined;
  const first = counted ? Math.min(beganUs || Infinity, counted.fromUs) : beganUs;
  const last = Math.max(untilUs, counted ? counted.fromUs + counted.buckets.length * bucketUs : 0);
  const fromUs = Math.floor(first / bucketUs) * bucketUs;
  const toUs = Math.max(fromUs + leastBuckets * bucketUs, Math.ceil(last / bucketUs) * bucketUs);
  return {
    fromUs,
    toUs,
    x: (us) => ((us - fromUs) / (toUs - fromUs)) * width,
    us: (x) => fromUs + (x / Math.max(1, width)) * (toUs - fromUs),
  };
}

/** Round moments along a scale, with their words: `18:06`, with seconds where they are close, with the day where they are far apart. */
export function ticks(scale: TimeScale, width: number): { readonly x: number; readonly text: string }[] {
  const least = ((scale.toUs - scale.fromUs) / Math.max(1, width)) * tickPx;
  if (width < tickPx) return [];
  const step = steps.find((each) => each >= least) ?? Math.ceil(least / year) * year;
  // Round as clocks here show it.
  const offsetUs = -new Date(scale.fromUs / 1000).getTimezoneOffset() * minute;
  const marks: { x: number; text: string }[] = [];
  for (let us = Math.ceil((scale.fromUs + offsetUs) / step) * step - offsetUs; us < scale.toUs; us += step)
    marks.push({ x: scale.x(us), text: tickText(us, step) });
  return marks;
}

function tickText(us: number, step: number): string {
  const date = new Date(us / 1000);
  if (step >= year) return String(date.getFullYear());
  if (step >= day) return date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  const two = (value: number) => String(value).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return step < minute ? `${time}:${two(date.getSeconds())}` : time;
}

import { clock, duration, plural } from "../../ui/format.ts";
import type { Histogram } from "./histogram.ts";
import { countSpan, type SpanCount, type TimeSpan } from "./span.ts";

/** `5 s`, `2 m`: a bucket's width. */
export function widthWords(us: number): string {
  const seconds = us / 1_000_000;
  return seconds < 60 ? `${seconds}\u00a0s` : duration(us / 1000);
}

/** `18:06:20 – 18:07:00`. */
export function spanWords({ fromUs, toUs }: TimeSpan, nowMs: number): string {
  return `${clock(fromUs, nowMs)} – ${clock(toUs, nowMs)}`;
}

/** `300 lines · 3 errors · 1 warning`: what a stretch of time holds. */
export function countWords({ lines, errors, warnings }: Pick<SpanCount, "lines" | "errors" | "warnings">): string {
  if (lines === 0) return "no line";
  const parts = [plural(lines, "line")];
  if (errors > 0) parts.push(plural(errors, "error"));
  if (warnings > 0) parts.push(plural(warnings, "warning"));
  return parts.join(" · ");
}

/** The times of a stretch, as wide as its buckets, and what it holds. */
export function readingWords(histogram: Histogram, stretch: TimeSpan, nowMs: number): string {
  const count = countSpan(histogram, stretch);
  return `${spanWords(count.span, nowMs)} · ${countWords(count)}`;
}

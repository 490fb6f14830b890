import { peakOf, type Histogram } from "./histogram.ts";
import type { TimeScale } from "./time-scale.ts";

/** Bars by kind, as paths. Errors stand at the bottom, where they can be compared. */
export interface Bars {
  readonly errors: string;
  readonly warnings: string;
  readonly lines: string;
  readonly details: string;
}

/** What is there is seen, however few it is beside the peak, px. */
const leastErrorPx = 2;
const leastPx = 1;

/** The bars of a histogram between `top` and `bottom`, px. */
export function bars(histogram: Histogram, scale: TimeScale, top: number, bottom: number): Bars {
  const paths = { errors: "", warnings: "", lines: "", details: "" };
  const peak = Math.max(1, peakOf(histogram));
  const height = bottom - top;
  for (const [at, bucket] of histogram.buckets.entries()) {
    if (bucket.lines === 0) continue;
    const fromUs = histogram.fromUs + at * histogram.bucketUs;
    const left = scale.x(fromUs);
    const width = scale.x(fromUs + histogram.bucketUs) - left;
    // A hair between bars, as long as there is room for one.
    const wide = width > 3 ? width - 1 : width;
    const plain = bucket.lines - bucket.errors - bucket.warnings - bucket.details;
    let y = bottom;
    const stack = (kind: keyof Bars, count: number, least: number) => {
      if (count === 0) return;
      const tall = Math.min(y - top, Math.max(least, (count / peak) * height));
      if (tall <= 0) return;
      y -= tall;
      paths[kind] += `M${round(left)} ${round(y)}h${round(wide)}v${round(tall)}h${round(-wide)}z`;
    };
    stack("errors", bucket.errors, leastErrorPx);
    stack("warnings", bucket.warnings, leastPx);
    stack("lines", plain, leastPx);
    stack("details", bucket.details, leastPx);
  }
  return paths;
}

function round(px: number): number {
  return Math.round(px * 10) / 10;
}

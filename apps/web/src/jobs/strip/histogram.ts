import { Level, type GetHistogramResponse } from "@signalbox/protocol";

/** Lines of one stretch of time, for the strip. */
export interface Bucket {
  /** Number of its first line; 0 if it has none. */
  readonly firstLine: number;
  readonly lines: number;
  readonly errors: number;
  readonly warnings: number;
  /** DEBUG and TRACE. */
  readonly details: number;
}

/** An attempt's lines over order time. Times in microseconds since the Unix epoch. */
export interface Histogram {
  readonly fromUs: number;
  readonly bucketUs: number;
  readonly buckets: readonly Bucket[];
  /** The number after the newest line that is counted. */
  readonly endLine: number;
}

/** What the server counted, as the strip draws it. */
export function readHistogram(response: GetHistogramResponse): Histogram {
  return {
    fromUs: Number(response.fromUs),
    bucketUs: Number(response.bucketUs),
    endLine: Number(response.endLine),
    buckets: response.buckets.map(({ firstLine, levelCounts }) => {
      const count = (level: Level) => levelCounts[level] ?? 0;
      return {
        firstLine: Number(firstLine),
        lines: levelCounts.reduce((sum, lines) => sum + lines, 0),
        errors: count(Level.ERROR) + count(Level.FATAL),
        warnings: count(Level.WARN),
        details: count(Level.DEBUG) + count(Level.TRACE),
      };
    }),
  };
}

/** The most lines of a bucket; 0 if there are none. */
export function peakOf({ buckets }: Histogram): number {
  return buckets.reduce((most, { lines }) => Math.max(most, lines), 0);
}

/** The place of the bucket that holds a line; of one before the first line the first. -1 if there are no lines. */
export function bucketOfLine({ buckets }: Histogram, line: number): number {
  const at = buckets.findLastIndex(({ firstLine }) => firstLine > 0 && firstLine <= line);
  return at >= 0 ? at : buckets.findIndex(({ firstLine }) => firstLine > 0);
}

/** About when a line was printed: lines of a bucket are taken to be spread over it. Undefined if there are no lines. */
export function timeOfLine(histogram: Histogram, line: number): number | undefined {
  const { fromUs, bucketUs, buckets, endLine } = histogram;
  const at = bucketOfLine(histogram, line);
  const bucket = buckets[at];
  if (!bucket) return undefined;
  const next = buckets.slice(at + 1).find(({ firstLine }) => firstLine > 0)?.firstLine ?? endLine;
  const share = Math.min(1, Math.max(0, (line - bucket.firstLine) / Math.max(1, next - bucket.firstLine)));
  return fromUs + (at + share) * bucketUs;
}

/** The line to show for a moment: of that time, or else the first one after it, or else the last. Undefined if there are none. */
export function lineOfTime(histogram: Histogram, us: number): number | undefined {
  const { fromUs, bucketUs, buckets, endLine } = histogram;
  const place = (us - fromUs) / bucketUs;
  const at = Math.max(0, Math.floor(place));
  const found = buckets.findIndex(({ firstLine }, index) => index >= at && firstLine > 0);
  const bucket = buckets[found];
  if (!bucket) return endLine > 1 && buckets.length > 0 ? endLine - 1 : undefined;
  if (found !== at) return bucket.firstLine;
  const next = buckets.slice(found + 1).find(({ firstLine }) => firstLine > 0)?.firstLine ?? endLine;
  return Math.min(next - 1, bucket.firstLine + Math.floor(Math.max(0, place - at) * (next - bucket.firstLine)));
}

/** The first line of the next bucket that has any (1), or of the one before (-1), from the one with `line`. */
export function stepLine(histogram: Histogram, line: number, direction: 1 | -1): number | undefined {
  const { buckets } = histogram;
  for (let at = bucketOfLine(histogram, line) + direction; at >= 0 && at < buckets.length; at += direction) {
    const first = buckets[at]?.firstLine ?? 0;
    if (first > 0) return first;
  }
  return undefined;
}

/** Neighbours put together until there are at most `most` buckets: what a table of the same plot shows. Empty ones are left out. */
export function tableRows(histogram: Histogram, most: number): { fromUs: number; toUs: number; bucket: Bucket }[] {
  const each = Math.max(1, Math.ceil(histogram.buckets.length / most));
  const rows: { fromUs: number; toUs: number; bucket: Bucket }[] = [];
  for (let at = 0; at < histogram.buckets.length; at += each) {
    const together = histogram.buckets.slice(at, at + each);
    const sum = (value: (bucket: Bucket) => number) => together.reduce((total, bucket) => total + value(bucket), 0);
    const bucket = {
      firstLine: together.find(({ firstLine }) => firstLine > 0)?.firstLine ?? 0,
      lines: sum(({ lines }) => lines),
      errors: sum(({ errors }) => errors),
      warnings: sum(({ warnings }) => warnings),
      details: sum(({ details }) => details),
    };
    const fromUs = histogram.fromUs + at * histogram.bucketUs;
    if (bucket.lines > 0) rows.push({ fromUs, toUs: fromUs + together.length * histogram.bucketUs, bucket });
  }
  return rows;
}

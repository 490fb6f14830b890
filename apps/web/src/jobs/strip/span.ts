import { bucketOfLine, type Histogram } from "./histogram.ts";

/** A stretch of time whose lines alone are shown. Microseconds since the Unix epoch, whole seconds, `toUs` exclusive. */
export interface TimeSpan {
  readonly fromUs: number;
  readonly toUs: number;
}

/** What a span of a log holds, as it is counted. */
export interface SpanCount {
  /** The span, as wide as the buckets that it touches. */
  readonly span: TimeSpan;
  /** Its lines by number, `to` exclusive; gaps are among them. */
  readonly window: { readonly from: number; readonly to: number };
  readonly lines: number;
  readonly errors: number;
  readonly warnings: number;
  /** Lines of a later time are counted: none can be added. */
  readonly complete: boolean;
}

const second = 1_000_000;

/** The span that a URL names, `20261121T180620Z-20261121T180700Z`; undefined if it names none. */
export function parseSpan(text: string | null): TimeSpan | undefined {
  const [from, to, ...more] = (text ?? "").split("-").map(parseMoment);
  return from !== undefined && to !== undefined && more.length === 0 && from < to
    ? { fromUs: from, toUs: to }
    : undefined;
}

/** The form that {@link parseSpan} reads. */
export function formatSpan({ fromUs, toUs }: TimeSpan): string {
  return `${formatMoment(fromUs)}-${formatMoment(toUs)}`;
}

/** The buckets that a brush has touched between two moments, in whatever order; none outside of what is counted. */
export function spanBetween(histogram: Histogram, oneUs: number, otherUs: number): TimeSpan | undefined {
  const { fromUs, bucketUs, buckets } = histogram;
  const place = (us: number) => (us - fromUs) / bucketUs;
  const [left, right] = [place(Math.min(oneUs, otherUs)), place(Math.max(oneUs, otherUs))];
  if (left >= buckets.length || right <= 0) return undefined;
  const first = Math.max(0, Math.floor(left));
  return spanOf(histogram, first, Math.min(buckets.length, Math.max(first + 1, Math.ceil(right))));
}

/**
 * A span that is one bucket with lines wider: at its end (1) or at its begin (-1). Without a span it begins with the bucket of `line`.
 * Undefined if there are no lines; the same span where there are no more.
 */
export function widenSpan(
  histogram: Histogram,
  span: TimeSpan | undefined,
  line: number,
  direction: 1 | -1,
): TimeSpan | undefined {
  const { buckets } = histogram;
  if (!span) {
    const at = bucketOfLine(histogram, line);
    return at < 0 ? undefined : spanOf(histogram, at, at + 1);
  }
  const [first, end] = touched(histogram, span);
  if (direction > 0) {
    const next = buckets.findIndex(({ lines }, at) => at >= end && lines > 0);
    return next < 0 ? span : spanOf(histogram, first, next + 1);
  }
  const before = buckets.findLastIndex(({ lines }, at) => at < first && lines > 0);
  return before < 0 ? span : spanOf(histogram, before, end);
}

/** What a span holds. Lines before its first bucket with lines and after its last one belong to others. */
export function countSpan(histogram: Histogram, span: TimeSpan): SpanCount {
  const { buckets, endLine } = histogram;
  const [first, end] = touched(histogram, span);
  const firstFrom = (index: number) =>
    index <= 0 ? 1 : (buckets.find(({ firstLine }, at) => at >= index && firstLine > 0)?.firstLine ?? endLine);
  const inside = buckets.slice(Math.max(0, first), Math.max(0, end));
  const from = firstFrom(first);
  return {
    span: spanOf(histogram, first, end),
    window: { from, to: Math.max(from, end <= 0 ? from : firstFrom(end)) },
    lines: inside.reduce((sum, { lines }) => sum + lines, 0),
    errors: inside.reduce((sum, { errors }) => sum + errors, 0),
    warnings: inside.reduce((sum, { warnings }) => sum + warnings, 0),
    complete: buckets.some(({ lines }, at) => at >= end && lines > 0),
  };
}

/** Places of the first bucket that a span touches and of the one after the last. They may be places where there is none. */
function touched({ fromUs, bucketUs }: Histogram, span: TimeSpan): [number, number] {
  return [Math.floor((span.fromUs - fromUs) / bucketUs), Math.ceil((span.toUs - fromUs) / bucketUs)];
}

function spanOf({ fromUs, bucketUs }: Histogram, first: number, end: number): TimeSpan {
  return { fromUs: fromUs + first * bucketUs, toUs: fromUs + end * bucketUs };
}

function parseMoment(text: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!match) return undefined;
  const [year = 0, month = 0, day = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1).map(Number);
  return Date.UTC(year, month - 1, day, hours, minutes, seconds) * 1000;
}

function formatMoment(us: number): string {
  return `${new Date(Math.round(us / second) * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
}

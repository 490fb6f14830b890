import { lineClasses, type Classification, type LineClass } from "./classify.ts";

/** Who reads, for people. */
export type Reader = "the store" | "downloads" | "readers that follow" | "the page";

/** What one reader found, all jobs together. */
export interface Verdict {
  readonly reader: Reader;
  /** How many lines were judged, by class. */
  readonly counts: Readonly<Record<LineClass, number>>;
  /** Each broken promise in a sentence. */
  readonly broken: readonly string[];
}

/** What a reader found in one job, and what else is wrong, in sentences. */
export interface Finding {
  readonly job: string;
  readonly found: Classification;
  readonly more: readonly string[];
}

/** Adds up what a reader found in several jobs. */
export function addUp(reader: Reader, parts: readonly Finding[]): Verdict {
  const counts = Object.fromEntries(
    lineClasses.map((name) => [name, parts.reduce((sum, { found }) => sum + found.counts[name], 0)]),
  ) as Record<LineClass, number>;
  return {
    reader,
    counts,
    broken: parts.flatMap(({ job, found, more }) => [...found.broken, ...more].map((what) => `job ${job}: ${what}`)),
  };
}

/** For people: `the store: 12,345 ok, 3 unknown`. */
export function describeVerdict({ reader, counts, broken }: Verdict): string {
  const named = lineClasses.filter((name) => counts[name] > 0 || name === "ok" || name === "lost");
  const figures = named.map((name) => `${counts[name].toLocaleString("en")} ${name}`).join(", ");
  return [`${broken.length > 0 ? "✗" : "✓"} ${reader}: ${figures}`, ...broken.map((what) => `    ${what}`)].join("\n");
}

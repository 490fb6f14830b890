import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";

/** One finished test, as a line of the tally file. */
export interface Tallied {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it was skipped. */
  readonly reason?: string;
  /** Passed, but not the first time: something in it races with a busy machine. */
  readonly unsteady?: boolean;
  /** What it failed with, at each try: the beginning of it, without colours. */
  readonly errors?: readonly string[];
}

const linesOfError = 12;

/** The beginning of what a test failed with, for the end of a long output. */
export function beginningOf(error: string): string {
  const lines = stripVTControlCharacters(error).trim().split("\n");
  return lines.length > linesOfError ? [...lines.slice(0, linesOfError), "…"].join("\n") : lines.join("\n");
}

/** The file in which every runner counts its tests; `npm test` names it. */
export const tallyFileVariable = "SIGNALBOX_TALLY";

/** Adds finished tests to the tally file; does nothing where none is named. */
export function tally(tests: readonly Tallied[]): void {
  const file = process.env[tallyFileVariable];
  if (file && tests.length > 0) appendFileSync(file, tests.map((test) => `${JSON.stringify(test)}\n`).join(""));
}

/** Reads a tally file; empty if there is none. */
export function readTally(file: string): Tallied[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Tallied);
}

import { stripVTControlCharacters } from "node:util";

/** How far a program says it is. */
export interface FoundProgress {
  readonly done: number;
  readonly total: number;
  readonly unit: "items" | "bytes";
}

/**
 * Finds progress in what a program prints:
 *
 * - a percentage: `45%`, `45.3 %`, `Downloading 45%`, `Progress: [ 45%]` (45 of 100)
 * - a count: `[12/345]`, `(12/345)`, `12/345`, `12 of 345`; a bare one only when the same total comes again, since dates and scores look
 *   like that too
 * - both, as in `45%|████▌    | 45/100 [00:05<00:06]` or `Receiving objects:  45% (450/1000)`: the count, if it agrees
 * - sizes: `12.3/45.6 MB`, `12.3MiB/45.6MiB` (bytes)
 *
 * Looks at the newest line or `\r` piece that has one of them, at its last match. A bar may begin again: a smaller value is believed when
 * the bar before was full, when the total has changed, or when it keeps growing from there. Only the last {@link lookedAtBytes} characters
 * of each look count, and the work for a look is proportional to them, whatever they hold.
 */
export class ProgressPatterns {
  #last: FoundProgress | undefined;
  /** A smaller value than before that may be a new beginning. */
  #restart: FoundProgress | undefined;
  /** Total of the newest bare count, and how far it was. */
  #bare: { readonly done: number; readonly total: number } | undefined;

  /** Looks at the newest output. Returns news only. */
  look(text: string): FoundProgress | undefined {
    const pieces = stripVTControlCharacters(text.slice(-lookedAtBytes)).split(/[\r\n]+/);
    for (let i = pieces.length - 1; i >= 0; i--) {
      const match = lastMatch(pieces[i] ?? "");
      if (!match) continue;
      if (match.bare && !this.#comesAgain(match)) continue;
      return this.#news(match);
    }
    return undefined;
  }

  #comesAgain({ done, total }: Match): boolean {
    const before = this.#bare;
    this.#bare = { done, total };
    return before?.total === total && done > before.done;
  }

  #news({ done, total, unit }: Match): FoundProgress | undefined {
    const last = this.#last;
    const found: FoundProgress = { done, total, unit };
    if (last?.unit === unit && last.total === total) {
      if (done === last.done) return undefined;
      if (done < last.done && last.done < total && !(this.#restart && done > this.#restart.done)) {
        this.#restart ??= found;
        if (done < this.#restart.done) this.#restart = found;
        return undefined;
      }
    }
    this.#restart = undefined;
    this.#last = found;
    return found;
  }
}

/** How much of the newest output a look takes in, characters. */
export const lookedAtBytes = 1024;

interface Match extends FoundProgress {
  /** A count without brackets or a percentage beside it. */
  readonly bare: boolean;
}

// All quantifiers are bounded, so that no text takes more than a fixed time for each of its characters.
const number = String.raw`\d{1,3}(?:,\d{3}){1,4}|\d{1,15}`;
const size = String.raw`\d{1,9}(?:\.\d{1,3})?`;
const unit = "[kKMGT]i?B|B";
/** What makes a number part of a path, a date, a version or an address. */
const notBehind = String.raw`(?<![\w./:,-])`;
// What is escaped in a URL (`caf%C3%A9`) and what is to be filled in (`%5d`) have percent signs, too.
const percentages = /(?<![\w.,%])(\d{1,3})(?:[.,]\d{1,6})?\s{0,2}%(?![\w%])/g;
const counts = new RegExp(
  String.raw`${notBehind}([[(]\s{0,8})?(${number})(?:\s?/\s?|\sof\s)(${number})(?!\d|[./:,-]\d|/)(\s{0,8}[\])])?`,
  "g",
);
const sizes = new RegExp(String.raw`${notBehind}(${size})\s?(${unit})?\s?/\s?(${size})\s?(${unit})\b`, "g");

/** The last match in one line. A percentage that agrees with the count or the sizes beside it only confirms them. */
function lastMatch(piece: string): Match | undefined {
  const percentage = lastOf(piece, percentages, ([, whole]) => {
    const done = Number(whole);
    return done <= 100 ? { done, total: 100, unit: "items", bare: false } : undefined;
  });
  const count = lastOf(piece, counts, ([, open, done, total, close]) => ({
    done: Number(done?.replaceAll(",", "")),
    total: Number(total?.replaceAll(",", "")),
    unit: "items",
    bare: open === undefined || close === undefined,
  }));
  const bytes = lastOf(piece, sizes, ([, done, doneUnit, total, totalUnit = ""]) => ({
    done: Math.round(Number(done) * bytesIn(doneUnit ?? totalUnit)),
    total: Math.round(Number(total) * bytesIn(totalUnit)),
    unit: "bytes",
    bare: false,
  }));
  const exact = bytes ?? count;
  if (!exact || !percentage) return exact?.match ?? percentage?.match;
  const agrees = Math.abs((exact.match.done / exact.match.total) * 100 - percentage.match.done) <= 1.5;
  if (agrees) return { ...exact.match, bare: false };
  return exact.match.bare || percentage.at > exact.at ? percentage.match : exact.match;
}

function lastOf(
  piece: string,
  pattern: RegExp,
  read: (match: RegExpExecArray) => Match | undefined,
): { at: number; match: Match } | undefined {
  let last: { at: number; match: Match } | undefined;
  for (const found of piece.matchAll(pattern)) {
    const match = read(found);
    if (match && match.total > 0 && match.done <= match.total) last = { at: found.index, match };
  }
  return last;
}

function bytesIn(name: string): number {
  const power = "kmgt".indexOf(name[0]?.toLowerCase() ?? "") + 1;
  return (name.includes("i") ? 1024 : 1000) ** power;
}

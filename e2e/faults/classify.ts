import { describeRanges, Intervals } from "./intervals.ts";

/**
 * What became of a line.
 * - `ok`: there once, in its place, with its bytes.
 * - `lost`: it was promised and is not there, or lies in a declared gap although it was acknowledged.
 * - `duplicate`: there twice, or there and declared missing.
 * - `reordered`: behind a line with a greater number.
 * - `altered`: there with other bytes than were printed.
 * - `declared`: inside a declared gap, and never acknowledged.
 * - `unknown`: not there, and nobody was promised it: its process was killed before it was acknowledged.
 */
export const lineClasses = ["ok", "lost", "duplicate", "reordered", "altered", "declared", "unknown"] as const;
export type LineClass = (typeof lineClasses)[number];

/** What is known of an attempt's lines by those who printed them. Line numbers begin at 1. */
export interface Truth {
  /** The last line that may have been printed. */
  readonly printed: number;
  /** The last line of those that were acknowledged, or are promised for another reason. */
  readonly promised: number;
  /** Of those the lines that are declared missing where this reader reads from, so that it cannot have them. */
  readonly excused?: Intervals;
}

/** How often each class occurs among the printed lines, and what is wrong, for people. */
export interface Classification {
  readonly counts: Readonly<Record<LineClass, number>>;
  /** Lines that are there and were never printed. */
  readonly invented: number;
  /** Each broken promise in a sentence; empty if all were kept. */
  readonly broken: readonly string[];
}

/** Takes in lines in the order in which a reader got them, and says at the end what became of each. Holds ranges, not lines. */
export class Classifier {
  readonly #seen = new Intervals();
  readonly #declared = new Intervals();
  readonly #again = new Intervals();
  readonly #behind = new Intervals();
  readonly #altered = new Intervals();
  #highest = 0;

  /** The number after the greatest that was seen or declared missing. */
  get next(): number {
    return this.#highest + 1;
  }

  /** What was declared missing. */
  get declared(): Intervals {
    return this.#declared;
  }

  /** Lines `from` to `to` (exclusive) come next, with the right bytes or not. */
  see(from: number, to: number, isRight: boolean): void {
    this.#place(from, to);
    this.#seen.add(from, to);
    if (!isRight) this.#altered.add(from, to);
  }

  /** A gap is declared next. */
  miss(from: number, to: number): void {
    this.#place(from, to);
    this.#declared.add(from, to);
  }

  #place(from: number, to: number): void {
    if (from > this.#highest) {
      this.#highest = Math.max(this.#highest, to - 1);
      return;
    }
    const these = Intervals.of({ from, to });
    const known = these.and(this.#seen.or(this.#declared));
    for (const range of known) this.#again.add(range.from, range.to);
    for (const range of these.minus(known)) {
      this.#behind.add(range.from, Math.min(range.to, this.#highest + 1));
    }
    this.#highest = Math.max(this.#highest, to - 1);
  }

  /** Each printed line has one class: of those that fit the worst. */
  finish({ printed, promised, excused = new Intervals() }: Truth): Classification {
    const all = Intervals.of({ from: 1, to: printed + 1 });
    const owed = Intervals.of({ from: 1, to: promised + 1 }).minus(excused);
    const altered = this.#altered.and(all);
    const duplicate = this.#again.and(all).minus(altered);
    const reordered = this.#behind.and(all).minus(altered).minus(duplicate);
    const wrong = altered.or(duplicate).or(reordered);
    const ok = this.#seen.and(all).minus(wrong);
    const absent = all.minus(this.#seen).minus(wrong);
    const lost = absent.and(owed);
    const declared = absent.minus(owed).and(this.#declared);
    const unknown = absent.minus(owed).minus(this.#declared);
    const invented = this.#seen.or(this.#declared).minus(all);
    // What is missing in front of something that is there is a hole that nobody declared.
    const holes = unknown.and(Intervals.of({ from: 1, to: this.#highest + 1 }));
    const sets = { ok, lost, duplicate, reordered, altered, declared, unknown };
    const promises: [Intervals, string][] = [
      [lost.minus(this.#declared), "promised and not there"],
      [lost.and(this.#declared), "acknowledged and then declared missing"],
      [holes, "missing in the middle without a declared gap"],
      [duplicate, "there more than once"],
      [reordered, "behind lines with greater numbers"],
      [altered, "there with other bytes than were printed"],
      [invented, "there and never printed"],
    ];
    return {
      counts: Object.fromEntries(lineClasses.map((name) => [name, sets[name].size])) as Record<LineClass, number>,
      invented: invented.size,
      broken: [
        ...promises.flatMap(([lines, what]) =>
          lines.size > 0 ? [`${lines.size.toLocaleString("en")} lines are ${what}: ${describeRanges(lines)}`] : [],
        ),
        ...(promised > printed ? [`lines up to ${promised} were acknowledged, only ${printed} were printed`] : []),
      ],
    };
  }
}

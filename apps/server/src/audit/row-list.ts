import { setImmediate as turn } from "node:timers/promises";
import { compare, countBefore, type Place } from "./filter.ts";
import type { Row } from "./row.ts";

/** Rows that are looked at before others get their turn. */
const atATime = 5_000;
/** Rows that are shown to somebody who follows and has not come to them yet; who is further behind lists again. */
const mostRecent = 4_096;

/** Rows in order, the newest `most` of them, and which of them came or changed last. */
export class RowList {
  readonly #most: number;
  #rows: Row[] = [];
  /** Rows that came or changed, oldest first. The last one has the number `#version`. */
  readonly #recent: Row[] = [];
  #version = 0;
  #isCut = false;
  #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#rows.length;
  }

  /** The time of the oldest row if older ones were left out; else 0. */
  get beginsAt(): number {
    return this.#isCut ? (this.#rows[0]?.at ?? 0) : 0;
  }

  /** Puts in what was before: rows in any order, none of them known. `isCut`: older ones were left out. */
  fill(rows: readonly Row[], isCut = false): void {
    this.#isCut ||= isCut;
    this.#rows = [...rows, ...this.#rows].sort(compare);
    this.#cut(0);
  }

  /** A row came to be. */
  add(row: Row): void {
    const last = this.#rows.at(-1);
    if (!last || compare(last, row) < 0) this.#rows.push(row);
    else this.#rows.splice(countBefore(this.#rows, row), 0, row);
    this.#cut(this.#most / 10);
    this.changed(row);
  }

  /** A row came to be, or changed. */
  changed(row: Row): void {
    this.#recent.push(row);
    this.#version++;
    if (this.#recent.length >= 2 * mostRecent) this.#recent.splice(0, mostRecent);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  /** Rows that fit, newest first, from before a place on, in runs. Others get their turn in between; a run may be empty. */
  async *select(fits: (row: Row) => boolean, before?: Place): AsyncGenerator<Row[]> {
    for (let place = before; ;) {
      const end = place ? countBefore(this.#rows, place) : this.#rows.length;
      const begin = Math.max(0, end - atATime);
      const run = this.#rows.slice(begin, end);
      const [oldest] = run;
      if (!oldest) return;
      yield run.filter(fits).reverse();
      place = oldest;
      await turn();
    }
  }

  /**
   * Rows that come or change from now on, in runs, each row of a run once and as it is then; undefined where rows were left out because the
   * reader was too slow. Ends when `signal` aborts.
   */
  async *follow(signal: AbortSignal): AsyncGenerator<Row[] | undefined> {
    let seen = this.#version;
    while (!signal.aborted) {
      const missing = this.#version - seen;
      seen = this.#version;
      if (missing > this.#recent.length) yield undefined;
      else if (missing > 0) yield [...new Set(this.#recent.slice(-missing))];
      else await this.#more(signal);
    }
  }

  #more(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = () => {
        signal.removeEventListener("abort", go);
        resolve();
      };
      signal.addEventListener("abort", go, { once: true });
      this.#waiting.push(go);
    });
  }

  #cut(slack: number): void {
    if (this.#rows.length <= this.#most + slack) return;
    this.#rows = this.#rows.slice(-this.#most);
    this.#isCut = true;
  }
}

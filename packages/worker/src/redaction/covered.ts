/** Ranges that are to be masked, in order and apart from each other. Positions may be negative. */
export class Covered {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  get isEmpty(): boolean {
    return this.#ends.length === 0;
  }

  /** Covers from `start` up to, not with, `end`. Ranges are added by rising end. */
  add(start: number, end: number): void {
    let from = start;
    while (this.#ends.length > 0 && (this.#ends.at(-1) ?? 0) >= from) {
      from = Math.min(from, this.#starts.at(-1) ?? from);
      this.#starts.pop();
      this.#ends.pop();
    }
    this.#starts.push(from);
    this.#ends.push(end);
  }

  /** The end of the range that `at` lies in, or `at`. */
  endAround(at: number): number {
    const i = this.#ends.findIndex((end) => end > at);
    return i >= 0 && (this.#starts[i] ?? at) <= at ? (this.#ends[i] ?? at) : at;
  }

  /** Calls back for each stretch between the two positions, covered or not, in order. */
  walk(from: number, to: number, visit: (from: number, to: number, isCovered: boolean) => void): void {
    let at = from;
    for (let i = 0; i < this.#ends.length && at < to; i++) {
      const start = Math.min(this.#starts[i] ?? to, to);
      const end = Math.min(this.#ends[i] ?? to, to);
      if (end <= at) continue;
      if (start > at) visit(at, start, false);
      visit(Math.max(start, at), end, true);
      at = end;
    }
    if (at < to) visit(at, to, false);
  }

  /** Forgets what ends at or before `to`, and counts positions from `origin` on. */
  forget(to: number, origin: number): void {
    if (this.isEmpty) return;
    const kept = this.#ends.findIndex((end) => end > to);
    const gone = kept < 0 ? this.#ends.length : kept;
    this.#starts.splice(0, gone);
    this.#ends.splice(0, gone);
    for (let i = 0; i < this.#ends.length; i++) {
      this.#starts[i] = (this.#starts[i] ?? 0) - origin;
      this.#ends[i] = (this.#ends[i] ?? 0) - origin;
    }
  }
}

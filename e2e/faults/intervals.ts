/** Half-open: `from` is in it, `to` is not. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** A set of whole numbers, kept as ranges: twenty million line numbers without a hole cost no more than one. */
export class Intervals implements Iterable<Range> {
  /** Sorted, disjoint, none touches the next. */
  #ranges: Range[] = [];

  /** The numbers of `ranges`. Empty ranges are left out. */
  static of(...ranges: Range[]): Intervals {
    const made = new Intervals();
    for (const { from, to } of ranges) made.add(from, to);
    return made;
  }

  /** How many numbers are in it. */
  get size(): number {
    return this.#ranges.reduce((sum, { from, to }) => sum + to - from, 0);
  }

  /** The greatest number in it, or 0. */
  get highest(): number {
    return (this.#ranges.at(-1)?.to ?? 1) - 1;
  }

  has(number: number): boolean {
    const range = this.#ranges[this.#firstEndingBehind(number)];
    return range !== undefined && range.from <= number;
  }

  /** Adds all numbers from `from` to `to` (exclusive). */
  add(from: number, to: number): void {
    if (to <= from) return;
    const last = this.#ranges.at(-1);
    if (!last || from > last.to) {
      this.#ranges.push({ from, to });
      return;
    }
    // Ranges that overlap or touch the new one become one with it.
    const begin = this.#firstEndingBehind(from - 1);
    let end = begin;
    while (end < this.#ranges.length && (this.#ranges[end]?.from ?? Infinity) <= to) end++;
    const first = this.#ranges[begin];
    const merged = {
      from: Math.min(from, first && end > begin ? first.from : from),
      to: Math.max(to, end > begin ? (this.#ranges[end - 1]?.to ?? to) : to),
    };
    this.#ranges.splice(begin, end - begin, merged);
  }

  /** What is in this set and not in `other`. */
  minus(other: Intervals): Intervals {
    const left = new Intervals();
    let at = 0;
    for (const { from, to } of this.#ranges) {
      let start = from;
      while (at > 0 && (other.#ranges[at - 1]?.to ?? 0) > from) at--;
      for (; at < other.#ranges.length; at++) {
        const hole = other.#ranges[at];
        if (!hole || hole.from >= to) break;
        if (hole.to <= start) continue;
        left.add(start, hole.from);
        start = Math.max(start, hole.to);
        if (hole.to > to) break;
      }
      left.add(start, to);
    }
    return left;
  }

  /** What is in both. */
  and(other: Intervals): Intervals {
    return this.minus(this.minus(other));
  }

  /** What is in either. */
  or(other: Intervals): Intervals {
    return Intervals.of(...this, ...other);
  }

  [Symbol.iterator](): Iterator<Range> {
    return this.#ranges[Symbol.iterator]();
  }

  /** Index of the first range with an end behind `number`; the number of ranges if there is none. */
  #firstEndingBehind(number: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle]?.to ?? Infinity) > number) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** For people: `3 to 9, 12`, at most `most` ranges. */
export function describeRanges(ranges: Iterable<Range>, most = 4): string {
  const all = [...ranges];
  const named = all
    .slice(0, most)
    .map(({ from, to }) =>
      to - from === 1 ? from.toLocaleString("en") : `${from.toLocaleString("en")} to ${(to - 1).toLocaleString("en")}`,
    );
  return `${named.join(", ")}${all.length > most ? ` and ${all.length - most} more` : ""}`;
}

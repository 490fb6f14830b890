const kept = 63;

/** The median of the newest of many durations. Taking one costs a write to an array; only asking sorts. */
export class RecentGaps {
  readonly #gaps = new Float64Array(kept);
  readonly #sorted = new Float64Array(kept);
  #count = 0;

  /** Takes a duration. */
  add(ms: number): void {
    this.#gaps[this.#count++ % kept] = ms;
  }

  /** The median; undefined before the first. */
  get median(): number | undefined {
    const count = Math.min(this.#count, kept);
    const sorted = this.#sorted.subarray(0, count);
    sorted.set(this.#gaps.subarray(0, count));
    sorted.sort();
    return sorted[count >> 1];
  }
}

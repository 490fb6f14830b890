const windowMs = 5000;

/** Measures a rate over the last five seconds from samples of a counter. Times are milliseconds of a clock that never goes back. */
export class RateMeter {
  #samples: { atMs: number; count: number }[] = [];

  /** Forgets everything: the next sample is the beginning. */
  restart(): void {
    this.#samples = [];
  }

  /** Takes a sample and returns the rate per second; 0 until there are two. */
  sample(atMs: number, count: number): number {
    const newest = this.#samples.at(-1);
    // A counter that was set back starts over.
    if (newest && count < newest.count) this.restart();
    this.#samples.push({ atMs, count });
    while (this.#samples.length > 2 && (this.#samples[1]?.atMs ?? 0) <= atMs - windowMs) this.#samples.shift();
    const oldest = this.#samples[0];
    if (!oldest || atMs <= oldest.atMs) return 0;
    return ((count - oldest.count) / (atMs - oldest.atMs)) * 1000;
  }
}

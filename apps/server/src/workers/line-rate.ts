const windowMs = 5_000;
const stepMs = 500;

/** Lines per second over the last five seconds, from a counter that only rises. */
export class LineRate {
  readonly #samples: { at: number; lines: number }[] = [];

  /** Takes the counter at `now` (milliseconds, monotonic) and returns the rate. */
  next(lines: number, now: number): number {
    const newest = this.#samples.at(-1);
    if (!newest || now - newest.at >= stepMs) this.#samples.push({ at: now, lines });
    while (this.#samples.length > 1 && now - (this.#samples[1]?.at ?? now) >= windowMs) this.#samples.shift();
    const oldest = this.#samples[0];
    const spanMs = oldest ? now - oldest.at : 0;
    return oldest && spanMs >= stepMs ? ((lines - oldest.lines) * 1000) / spanMs : 0;
  }
}

const keptRates = 8;
const neededRates = 4;
const steadySpread = 0.35;
/** What takes longer is not known to end: ten years, milliseconds. */
const longestMs = 315_360_000_000;

/** Estimates the time to the end from measured rates, and only while they are steady. */
export class Eta {
  readonly #rates: number[] = [];

  /** Takes the newest rate, items per second, and returns milliseconds to the end; undefined while unknown or unsteady. */
  next(itemsPerSecond: number, itemsLeft: number | undefined): number | undefined {
    this.#rates.push(itemsPerSecond);
    if (this.#rates.length > keptRates) this.#rates.shift();
    if (itemsLeft === undefined || this.#rates.length < neededRates) return undefined;
    const mean = this.#rates.reduce((sum, rate) => sum + rate, 0) / this.#rates.length;
    if (mean <= 0 || this.#rates.some((rate) => Math.abs(rate - mean) > mean * steadySpread)) return undefined;
    const ms = Math.round((itemsLeft / mean) * 1000);
    return ms <= longestMs ? ms : undefined;
  }
}

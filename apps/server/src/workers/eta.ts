import type { AttemptVitals } from "@signalbox/protocol";
import { LineRate } from "./line-rate.ts";
import { itemsLeft, rateOf } from "./worker-words.ts";

const keptRates = 8;
const neededRates = 4;
const steadySpread = 0.35;
/** What takes longer is not known to end: ten years, milliseconds. */
const longestMs = 315_360_000_000;

/** Estimates the time to the end from measured rates, and only while they are steady. */
export class Eta {
  readonly #rates: number[] = [];
  readonly #bytes = new LineRate();

  /**
   * Takes what a worker measured at `nowMs` (milliseconds, monotonic) and returns milliseconds to the end, by items, or else by bytes where
   * only their total is known; undefined while unknown or unsteady.
   */
  measured(vitals: AttemptVitals, nowMs: number): number | undefined {
    const { bytesDone, bytesTotal, itemsTotal } = vitals;
    if (itemsTotal !== undefined || bytesTotal === undefined) return this.next(rateOf(vitals), itemsLeft(vitals));
    const left = bytesTotal < bytesDone ? undefined : Number(bytesTotal - bytesDone);
    return this.next(this.#bytes.next(Number(bytesDone), nowMs), left);
  }

  /** Takes the newest rate a second and returns milliseconds to the end; undefined while unknown or unsteady. */
  next(perSecond: number, left: number | undefined): number | undefined {
    this.#rates.push(perSecond);
    if (this.#rates.length > keptRates) this.#rates.shift();
    if (left === undefined || this.#rates.length < neededRates) return undefined;
    const mean = this.#rates.reduce((sum, rate) => sum + rate, 0) / this.#rates.length;
    if (mean <= 0 || this.#rates.some((rate) => Math.abs(rate - mean) > mean * steadySpread)) return undefined;
    const ms = Math.round((left / mean) * 1000);
    return ms <= longestMs ? ms : undefined;
  }
}

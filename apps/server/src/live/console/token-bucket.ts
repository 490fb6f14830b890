import { Refused } from "../../refused.ts";

/** What may gather while nothing is sent: what the rate allows in so long, seconds, and one event at least. */
const burstSeconds = 0.1;

/**
 * How many events may be sent at a rate: in any stretch of time no more than the rate times its length, and what may gather before. Events
 * that are sent in any case count too, and others wait the longer. Times are milliseconds that only rise.
 */
export class TokenBucket {
  #perSecond = Infinity;
  #tokens = Infinity;
  #atMs: number;

  constructor(nowMs: number) {
    this.#atMs = nowMs;
  }

  /** Events a second; Infinity: no limit. */
  get perSecond(): number {
    return this.#perSecond;
  }

  /** Sets the rate, above 0; undefined: no limit. What was sent beyond the rate before is forgiven. Throws Refused. */
  setRate(perSecond: number | undefined, nowMs: number): void {
    if (perSecond !== undefined && !(perSecond > 0 && perSecond < Infinity))
      throw new Refused(
        "invalid",
        `A rate of ${perSecond} events a second is none: give one above 0, or none for no limit.`,
      );
    this.#fill(nowMs);
    this.#perSecond = perSecond ?? Infinity;
    this.#tokens = Math.min(Math.max(0, this.#tokens), this.#capacity);
  }

  /** How many events may be sent now; Infinity without a limit. */
  available(nowMs: number): number {
    this.#fill(nowMs);
    // A whole event, although the sum of its parts is not exact.
    return Math.max(0, Math.floor(this.#tokens + 1e-9));
  }

  /** So many events are sent. */
  spend(count: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#tokens -= count;
  }

  /** When the next event may be sent, milliseconds from now. */
  dueInMs(nowMs: number): number {
    this.#fill(nowMs);
    return this.#tokens >= 1 ? 0 : ((1 - this.#tokens) / this.#perSecond) * 1000;
  }

  get #capacity(): number {
    return Math.max(1, this.#perSecond * burstSeconds);
  }

  #fill(nowMs: number): void {
    const seconds = Math.max(0, nowMs - this.#atMs) / 1000;
    this.#atMs = Math.max(this.#atMs, nowMs);
    if (this.#perSecond === Infinity) this.#tokens = Infinity;
    else this.#tokens = Math.min(this.#capacity, this.#tokens + seconds * this.#perSecond);
  }
}

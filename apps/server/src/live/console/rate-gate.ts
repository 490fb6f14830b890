import { TokenBucket } from "./token-bucket.ts";

/** Leave to send. While one is held nobody else gets one. */
export interface Turn {
  /** At most so many events, 1 or more. */
  readonly allowed: number;
  /** Gives the turn back. So many events are sent. */
  end(sent: number): void;
}

/** Setting a timer for longer than this would make it run out at once, milliseconds. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * The rate of events that a console takes. Who can wait takes turns, in order; what is sent in any case is only counted. Nothing is kept
 * for anybody: who gets a turn looks then for what is newest.
 */
export class RateGate {
  readonly #nowMs: () => number;
  readonly #bucket: TokenBucket;
  readonly #waiting = new Set<(turn: Turn | undefined) => void>();
  #isHeld = false;
  #timer: NodeJS.Timeout | undefined;

  /** `nowMs`: milliseconds that only rise. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#bucket = new TokenBucket(nowMs());
  }

  /** Events a second; Infinity: no limit. */
  get perSecond(): number {
    return this.#bucket.perSecond;
  }

  /** Sets the rate; undefined: no limit. Throws Refused. */
  setRate(perSecond: number | undefined): void {
    this.#bucket.setRate(perSecond, this.#nowMs());
    this.#look();
  }

  /** Counts events that are sent whatever the rate. */
  count(events: number): void {
    this.#bucket.spend(events, this.#nowMs());
  }

  /** Resolves when something may be sent; undefined: `signal` aborted before. */
  turn(signal: AbortSignal): Promise<Turn | undefined> {
    return new Promise((resolve) => {
      const leave = () => settle(undefined);
      const settle = (turn: Turn | undefined) => {
        signal.removeEventListener("abort", leave);
        this.#waiting.delete(settle);
        if (this.#waiting.size === 0) clearTimeout(this.#timer);
        resolve(turn);
      };
      this.#waiting.add(settle);
      this.#look();
      if (!this.#waiting.has(settle)) return;
      if (signal.aborted) leave();
      else signal.addEventListener("abort", leave, { once: true });
    });
  }

  /** Lets whoever waits longest send one event, whatever the rate. Returns false if nobody waits. */
  letOnePass(): boolean {
    if (this.#isHeld || this.#waiting.size === 0) return false;
    this.#give(1);
    return true;
  }

  #look(): void {
    if (this.#isHeld || this.#waiting.size === 0) return;
    clearTimeout(this.#timer);
    const nowMs = this.#nowMs();
    const allowed = this.#bucket.available(nowMs);
    if (allowed >= 1) this.#give(allowed);
    else {
      const dueMs = Math.min(longestTimerMs, Math.ceil(this.#bucket.dueInMs(nowMs)));
      this.#timer = setTimeout(() => this.#look(), dueMs);
    }
  }

  #give(allowed: number): void {
    const [first] = this.#waiting;
    this.#isHeld = true;
    first?.({
      allowed,
      end: (sent) => {
        this.#isHeld = false;
        this.count(sent);
        this.#look();
      },
    });
  }
}

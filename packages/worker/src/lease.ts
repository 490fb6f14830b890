/** How long a lease is until the server has said so, milliseconds. */
const defaultLeaseMs = 15_000;
const lookEveryMs = 500;

/**
 * How long this process may take its attempts for its own: a lease from the newest word of the server on. When it ends, whoever runs what
 * must run only once stops it, before anything else. Measured on a clock that goes on while the process stands still.
 */
export class Lease {
  readonly #now: () => number;
  readonly #onOver: (silentMs: number) => void;
  #leaseMs = defaultLeaseMs;
  /** Undefined: it is over, or has not begun. */
  #heardAtMs: number | undefined;
  #looking: NodeJS.Timeout | undefined;

  /** `now`: milliseconds that only rise. `onOver` is called once for each lease that ends. */
  constructor(now: () => number, onOver: (silentMs: number) => void) {
    this.#now = now;
    this.#onOver = onOver;
  }

  /** The server has said welcome: what it says from now on renews a lease of this length, milliseconds. */
  begin(leaseMs: number): void {
    this.heard();
    if (leaseMs > 0) this.#leaseMs = leaseMs;
    this.#heardAtMs = this.#now();
    this.#looking ??= setInterval(() => this.check(), lookEveryMs).unref();
  }

  /** The server has said something. A word that is read after the end of the lease renews nothing. */
  heard(): void {
    this.check();
    if (this.#heardAtMs !== undefined) this.#heardAtMs = this.#now();
  }

  /** Looks whether it is over. Cheap: call it before whatever needs the lease. */
  check(): void {
    if (this.#heardAtMs === undefined) return;
    const silentMs = this.#now() - this.#heardAtMs;
    if (silentMs < this.#leaseMs) return;
    this.#heardAtMs = undefined;
    this.#onOver(silentMs);
  }

  /** Looks no more. */
  stop(): void {
    clearInterval(this.#looking);
    this.#looking = undefined;
    this.#heardAtMs = undefined;
  }
}

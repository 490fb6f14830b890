import { Refused } from "../refused.ts";

/** Watches of all clients together. */
const mostWatches = 1_024;
/** Subscriptions of all watches together: each holds some 15 KB, whatever it follows. */
const mostInAll = 8_192;
/** Watches on one connection: a page has one, and over HTTP/1.1 there can be no more. */
const mostOnConnection = 32;

/** Counts open watches, so that nobody opens them without number. */
export class OpenWatches {
  readonly #most: number;
  readonly #mostOnConnection: number;
  readonly #mostSubscriptions: number;
  readonly #byConnection = new Map<unknown, number>();
  #open = 0;
  #subscriptions = 0;

  constructor(most = mostWatches, mostEach = mostOnConnection, mostSubscriptions = mostInAll) {
    this.#most = most;
    this.#mostOnConnection = mostEach;
    this.#mostSubscriptions = mostSubscriptions;
  }

  /** Open watches. */
  get size(): number {
    return this.#open;
  }

  /**
   * Yields from `source` as an open watch of a connection, with so many subscriptions; it counts until it has ended or `signal` aborts.
   * Throws Refused.
   */
  async *count<T>(
    connection: unknown,
    subscriptions: number,
    source: AsyncIterable<T>,
    signal: AbortSignal,
  ): AsyncGenerator<T> {
    const own = this.#byConnection.get(connection) ?? 0;
    if (own >= this.#mostOnConnection)
      throw new Refused("exhausted", `There are ${own} watches on this connection already: end one, or ask for less.`);
    if (this.#open >= this.#most || this.#subscriptions + subscriptions > this.#mostSubscriptions)
      throw new Refused(
        "exhausted",
        `This server serves ${this.#open} watches already, as many as it can. Try again in a moment.`,
      );
    this.#open++;
    this.#subscriptions += subscriptions;
    this.#byConnection.set(connection, own + 1);
    let counts = true;
    // Where the client has gone while a message waits to be sent, `finally` does not run.
    const leave = () => {
      if (!counts) return;
      counts = false;
      this.#open--;
      this.#subscriptions -= subscriptions;
      const left = (this.#byConnection.get(connection) ?? 1) - 1;
      if (left > 0) this.#byConnection.set(connection, left);
      else this.#byConnection.delete(connection);
    };
    signal.addEventListener("abort", leave, { once: true });
    try {
      if (!signal.aborted) yield* source;
    } finally {
      signal.removeEventListener("abort", leave);
      leave();
    }
  }
}

import type { Client, Interceptor } from "@connectrpc/connect";
import type { LiveService, StoreHealth } from "@signalbox/protocol";
import { Clock } from "./clock.svelte.ts";
import { WatchLink, type LinkStatus, type Watched } from "./watch-link.ts";

/** The link to the server as components see it. One a tab. */
export class Live {
  /** The clocks that running numbers are made from. */
  readonly clock: Clock;
  #status = $state.raw<LinkStatus>({ state: "connecting", sinceMs: Date.now() });
  #latencyMs = $state.raw<number | undefined>(undefined);
  #store = $state.raw<StoreHealth | undefined>(undefined);
  readonly #link: WatchLink;
  readonly #leave = new AbortController();

  /**
   * `ping` is a cheap question to the server; its round trip is shown. Tries again at once when the network or the tab comes back.
   */
  constructor(client: Client<typeof LiveService>, ping?: (signal: AbortSignal) => Promise<unknown>) {
    this.#link = new WatchLink(client);
    this.clock = new Clock(() => this.#link.clockAheadMs);
    let heardMs = 0;
    this.#link.onChange(() => {
      this.#status = this.#link.status;
      this.#store = this.#link.store;
      if (this.#link.heardMs === heardMs || document.hidden || !ping) return;
      heardMs = this.#link.heardMs;
      void this.#measure(ping);
    });
    const { signal } = this.#leave;
    window.addEventListener("online", () => this.#link.tryNow(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#link.tryNow(), { signal });
  }

  get status(): LinkStatus {
    return this.#status;
  }

  /** Whether what is shown is known to be current. Commands are offered only then. */
  get isLive(): boolean {
    return this.#status.state === "live";
  }

  /** Round trip of the newest small question, milliseconds; undefined until one was answered. */
  get latencyMs(): number | undefined {
    return this.#latencyMs;
  }

  /** Whether the server can store, as it said last; undefined: it has not said so. */
  get store(): StoreHealth | undefined {
    return this.#store;
  }

  /** Follows `watched`; returns what ends that. */
  follow(watched: Watched): () => void {
    return this.#link.follow(watched);
  }

  /** Another try now, instead of at the announced time. */
  tryNow(): void {
    this.#link.tryNow();
  }

  /** Ends the stream, timers and listeners. */
  close(): void {
    this.#leave.abort();
    this.#link.close();
  }

  async #measure(ping: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    const startMs = performance.now();
    try {
      await ping(this.#leave.signal);
      this.#latencyMs = performance.now() - startMs;
    } catch {
      // Whether the server is there is the stream's to say; a lost ping only leaves the last number.
    }
  }
}

/** Tells `refused` when any call is answered Unauthenticated. */
export function watchSession(refused: () => void, isRefusal: (error: unknown) => boolean): Interceptor {
  return (next) => async (request) => {
    try {
      return await next(request);
    } catch (error) {
      if (isRefusal(error)) refused();
      throw error;
    }
  };
}

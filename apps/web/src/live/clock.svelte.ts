import { createSubscriber } from "svelte/reactivity";

/**
 * The time as running numbers show it: read in a component, it ticks four times a second, and not at all while the tab is hidden or
 * nobody reads it. Milliseconds since the Unix epoch.
 */
export class Clock {
  readonly #aheadMs: () => number;
  readonly #subscribe = createSubscriber((update) => {
    const timer = setInterval(() => {
      if (!document.hidden) update();
    }, 250);
    document.addEventListener("visibilitychange", update);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", update);
    };
  });

  /** `aheadMs` is what to add to this machine's clock to get the server's. */
  constructor(aheadMs: () => number = () => 0) {
    this.#aheadMs = aheadMs;
  }

  /** This machine's clock. */
  get hereMs(): number {
    this.#subscribe();
    return Date.now();
  }

  /** The server's clock, for ages of what the server stamped. */
  get serverMs(): number {
    return this.hereMs + this.#aheadMs();
  }
}

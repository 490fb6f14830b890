/** What a store can do at present: `low` is everything still, `full` is that nothing is stored until there is room again. */
export type StoreState = "ok" | "low" | "full";

/** How a store stands. The same object as long as it stands so. */
export interface StoreHealth {
  readonly state: StoreState;
  /** What is wrong and what to do, for people; empty if nothing is. */
  readonly detail: string;
  /** Since when it stands so, microseconds since the Unix epoch; 0: since the store was opened. */
  readonly sinceUs: number;
}

/** A store's health, for those who tell it. */
export interface HealthView {
  readonly current: StoreHealth;
  /** Bytes that are free where the store lies, as of a few seconds ago; undefined if unknown. */
  readonly freeBytes: number | undefined;
  /** Resolves when the health is another one than `seen`, after `timeoutMs`, or when `signal` aborts. */
  change(seen: StoreHealth, signal: AbortSignal, timeoutMs?: number): Promise<void>;
  /** Calls `listener` after each change, as long as the store is open. */
  onChange(listener: (health: StoreHealth) => void): void;
}

/** Keeps a store's health, and tells those who wait of each change. */
export class HealthBoard implements HealthView {
  freeBytes: number | undefined;
  #current: StoreHealth = { state: "ok", detail: "", sinceUs: 0 };
  readonly #waiting = new Set<() => void>();
  readonly #listeners: ((health: StoreHealth) => void)[] = [];

  get current(): StoreHealth {
    return this.#current;
  }

  /** Sets the state. Returns whether that is a change; other words for the same state are none. */
  set(state: StoreState, detail: string, nowUs: number): boolean {
    if (state === this.#current.state) return false;
    this.#current = { state, detail, sinceUs: nowUs };
    for (const listener of this.#listeners) listener(this.#current);
    for (const wake of [...this.#waiting]) wake();
    return true;
  }

  onChange(listener: (health: StoreHealth) => void): void {
    this.#listeners.push(listener);
  }

  async change(seen: StoreHealth, signal: AbortSignal, timeoutMs?: number): Promise<void> {
    if (this.#current !== seen || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const settle = () => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        signal.removeEventListener("abort", settle);
        resolve();
      };
      const timer = timeoutMs === undefined ? undefined : setTimeout(settle, timeoutMs);
      this.#waiting.add(settle);
      signal.addEventListener("abort", settle, { once: true });
    });
  }
}

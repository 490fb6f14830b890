/** One name that somebody waits on. Release it when done; only then may a caller that goes away be forgotten. */
export interface Watched {
  /** How often the name was woken since somebody watches it. */
  readonly count: number;
  /**
   * Resolves when `count` is no longer `seen`, or when `signal` aborts. Read `count`, look, and then wait with it: what happens in
   * between is not missed. Rejects when the store ends.
   */
  changed(seen: number, signal: AbortSignal): Promise<void>;
  [Symbol.dispose](): void;
}

interface Name {
  count: number;
  watchers: number;
  readonly waiting: Set<Waiter>;
}

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

/** Wakes those who wait for news of a name. Costs nothing for names that nobody waits on. */
export class Wakes {
  readonly #names = new Map<string, Name>();
  #ended: Error | undefined;

  /** Names that are watched. */
  get size(): number {
    return this.#names.size;
  }

  /** There is news of the name. */
  wake(name: string): void {
    const state = this.#names.get(name);
    if (!state) return;
    state.count++;
    const waiting = [...state.waiting];
    state.waiting.clear();
    for (const waiter of waiting) waiter.resolve();
  }

  /** Nothing will be woken any more: everybody who waits or will wait gets `error`. */
  end(error: Error): void {
    this.#ended ??= error;
    for (const state of this.#names.values()) {
      const waiting = [...state.waiting];
      state.waiting.clear();
      for (const waiter of waiting) waiter.reject(this.#ended);
    }
  }

  watch(name: string): Watched {
    let state = this.#names.get(name);
    if (!state) {
      state = { count: 0, watchers: 0, waiting: new Set() };
      this.#names.set(name, state);
    }
    const watched = state;
    watched.watchers++;
    return {
      get count() {
        return watched.count;
      },
      changed: (seen, signal) => this.#changed(watched, seen, signal),
      [Symbol.dispose]: () => {
        if (--watched.watchers === 0) this.#names.delete(name);
      },
    };
  }

  #changed(state: Name, seen: number, signal: AbortSignal): Promise<void> {
    if (this.#ended) return Promise.reject(this.#ended);
    if (state.count !== seen || signal.aborted) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const abort = () => {
        state.waiting.delete(waiter);
        resolve();
      };
      const done = () => signal.removeEventListener("abort", abort);
      const waiter: Waiter = {
        resolve: () => (done(), resolve()),
        reject: (error) => (done(), reject(error)),
      };
      state.waiting.add(waiter);
      signal.addEventListener("abort", abort, { once: true });
    });
  }
}

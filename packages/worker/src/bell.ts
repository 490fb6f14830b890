/**
 * Wakes whoever waits. It carries no news: look at the state, and wait if there is nothing to do. Nothing is lost between the look
 * and the wait as long as no `await` stands between them.
 */
export class Bell {
  readonly #waiting = new Set<() => void>();

  /** Wakes everybody who waits now. */
  ring(): void {
    if (this.#waiting.size === 0) return;
    // A woken waiter may wait again at once; it is not to be woken twice by the same ring.
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves at the next ring, after `ms` milliseconds (default: never), or when `signal` aborts. Never rejects. */
  wait({ ms, signal }: { ms?: number; signal?: AbortSignal } = {}): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) {
        resolve();
        return;
      }
      const done = () => {
        this.#waiting.delete(done);
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = ms === undefined ? undefined : setTimeout(done, Math.min(Math.max(ms, 0), longestTimerMs));
      signal?.addEventListener("abort", done, { once: true });
      this.#waiting.add(done);
    });
  }
}

/** The longest that a Node timer can wait, milliseconds; a longer one fires at once. */
export const longestTimerMs = 2 ** 31 - 1;

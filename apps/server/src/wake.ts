/**
 * Wakes whoever waits for 'something changed'. No change is missed: one that comes between two waits ends the next wait at once.
 * One waiter at a time.
 */
export class Wake {
  #due = false;
  #resolve: (() => void) | undefined;

  /** Something changed. */
  notify(): void {
    this.#due = true;
    this.#resolve?.();
  }

  /** Resolves when something has changed since the last wait, or when `signal` aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    if (!this.#due && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const settle = () => {
          signal.removeEventListener("abort", settle);
          this.#resolve = undefined;
          resolve();
        };
        this.#resolve = settle;
        signal.addEventListener("abort", settle, { once: true });
      });
    }
    this.#due = false;
  }
}

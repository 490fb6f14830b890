/** Whether the server takes work, and why not. Who waits is told of each change. */
export class Readiness {
  #notReady: string | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(notReady: string | undefined) {
    this.#notReady = notReady;
  }

  /** Why the server is not ready, in a few words; undefined if it is. */
  get notReady(): string | undefined {
    return this.#notReady;
  }

  set notReady(reason: string | undefined) {
    this.#notReady = reason;
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves at the next change, or when `signal` aborts. */
  async change(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const settle = () => {
        this.#waiting.delete(settle);
        signal.removeEventListener("abort", settle);
        resolve();
      };
      this.#waiting.add(settle);
      signal.addEventListener("abort", settle, { once: true });
    });
  }
}

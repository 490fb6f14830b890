/** Why a server may not be ready; of several reasons the first is told. */
const causes = ["failed", "draining", "starting", "store"] as const;

/** Whether the server takes work, and why not. Who waits is told of each change. */
export class Readiness {
  readonly #reasons = new Map<(typeof causes)[number], string>();
  readonly #waiting = new Set<() => void>();

  /** Why the server is not ready, in a few words; undefined if it is. */
  get notReady(): string | undefined {
    const cause = causes.find((each) => this.#reasons.has(each));
    return cause && this.#reasons.get(cause);
  }

  /** Says in a few words why the server is not ready on account of `cause`; undefined: that cause is none any more. */
  say(cause: (typeof causes)[number], reason: string | undefined): void {
    if (reason === undefined) this.#reasons.delete(cause);
    else this.#reasons.set(cause, reason);
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

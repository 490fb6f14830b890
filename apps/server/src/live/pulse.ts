/**
 * A beat that many wait for together: whoever waits resumes with all others, at most `everyMs` later. Readers that go on at the same moment
 * find the same news, which is then made into a message once for all of them.
 */
export class Pulse {
  readonly #everyMs: number;
  #next: Promise<void> | undefined;

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** Resolves at the next beat, or when `signal` aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    this.#next ??= new Promise((resolve) =>
      setTimeout(() => {
        this.#next = undefined;
        resolve();
      }, this.#everyMs),
    );
    const aborted = Promise.withResolvers<void>();
    const stop = () => aborted.resolve();
    signal.addEventListener("abort", stop, { once: true });
    await Promise.race([this.#next, aborted.promise]);
    signal.removeEventListener("abort", stop);
  }
}

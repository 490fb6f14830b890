/** What a terminal, a shell or a service manager sends to a program that it runs. */
const heard = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTSTP", "SIGCONT"] as const;

/**
 * The signals that this process gets, heard instead of obeyed from the first moment to `close`. They go to whoever listens; those that
 * come while nobody does wait for the next listener, so that none is lost between two of them.
 */
export class LocalSignals {
  #listener: ((signal: NodeJS.Signals) => void) | undefined;
  #waiting: NodeJS.Signals[] = [];

  constructor() {
    for (const signal of heard) process.on(signal, this.#hear);
  }

  /** Listens until the function that is returned is called. One listens at a time. */
  readonly listen = (listener: (signal: NodeJS.Signals) => void): (() => void) => {
    this.#listener = listener;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const signal of waiting) listener(signal);
    return () => {
      this.#listener = undefined;
    };
  };

  /** Signals do again what they do without anybody. */
  close(): void {
    for (const signal of heard) process.off(signal, this.#hear);
  }

  readonly #hear = (signal: NodeJS.Signals) => {
    if (this.#listener) this.#listener(signal);
    // Each once: how often somebody has pressed a key meanwhile is no matter.
    else if (!this.#waiting.includes(signal)) this.#waiting.push(signal);
  };
}

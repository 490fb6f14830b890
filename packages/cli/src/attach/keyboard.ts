/** What a keyboard tells. */
export interface KeyboardEvents {
  /** Something was typed. */
  readonly onTyped: (text: string) => void;
  /** The process goes on after it was stopped: the terminal is in raw mode again, and whatever was drawn on it may be gone. */
  readonly onResumed: () => void;
}

/** So long after it is asked for, a stop has come, if it comes at all, milliseconds. Of a stopped process no time passes. */
const stopsWithinMs = 100;

/** The terminal in raw mode: every key comes as it is pressed, those too that the terminal would take for itself, as Ctrl+C and Ctrl+Z. */
export class Keyboard {
  readonly #events: KeyboardEvents;
  #isOpen = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(events: KeyboardEvents) {
    this.#events = events;
  }

  /** Begins to listen. Call it only if standard input is a terminal. */
  open(): void {
    const { stdin } = process;
    this.#isOpen = true;
    process.on("SIGCONT", this.#onContinued);
    stdin.setRawMode(true);
    stdin.setEncoding("utf8");
    stdin.on("data", this.#onData);
    stdin.resume();
  }

  /**
   * Stops the process as the terminal would have done, with all others of its job; the terminal is as the shell wants it. Where there is no
   * shell that could let it go on, nothing is stopped.
   */
  suspend(): void {
    if (!this.#isOpen || this.#timer) return;
    process.stdin.setRawMode(false);
    process.kill(0, "SIGTSTP");
    this.#timer = setTimeout(this.#onContinued, stopsWithinMs);
  }

  /** Gives the terminal back. May be called twice. */
  close(): void {
    this.#isOpen = false;
    clearTimeout(this.#timer);
    process.off("SIGCONT", this.#onContinued);
    const { stdin } = process;
    if (stdin.isTTY && stdin.isRaw) stdin.setRawMode(false);
    stdin.off("data", this.#onData);
    stdin.pause();
  }

  readonly #onData = (text: string | Buffer): void => {
    this.#events.onTyped(String(text));
  };

  readonly #onContinued = (): void => {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#isOpen) return;
    // Whoever stopped the process has changed the terminal: what was set before says nothing.
    process.stdin.setRawMode(false);
    process.stdin.setRawMode(true);
    this.#events.onResumed();
  };
}

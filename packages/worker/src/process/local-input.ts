import { spawnSync } from "node:child_process";
import { isInForeground } from "./foreground.ts";
import type { LocalReadable } from "./local-terminal.ts";

/** A terminal in the background comes to the foreground without a word, milliseconds. */
const lookEveryMs = 1000;

/** How the local input is read. */
export interface LocalInputOptions {
  readonly stdin: LocalReadable;
  /** Key by key, as a program with a terminal of its own wants it; what Ctrl-C means is that terminal's business then. */
  readonly raw: boolean;
  /** Resolves when the next piece may come. */
  readonly write: (bytes: Uint8Array) => Promise<unknown>;
  /** The local input has ended. */
  readonly onEnd: () => void;
}

/** Reads the local input, no faster than it is written on. A terminal is read only in the foreground. */
export class LocalInput {
  readonly #options: LocalInputOptions;
  #timer: NodeJS.Timeout | undefined;
  #waits = false;
  #isRaw = false;
  #closed = false;
  /** Its end has come, or it was closed. */
  hasEnded = false;

  constructor(options: LocalInputOptions) {
    this.#options = options;
    const { stdin } = options;
    stdin.on("data", this.#onData);
    stdin.once("end", this.#onEnd);
    stdin.once("error", this.#onEnd);
    stdin.pause();
    if (stdin.isTTY) this.#timer = setInterval(() => this.look(), lookEveryMs).unref();
    this.look();
  }

  /** Reads, or does not, as things are now. To be called when this process was continued. */
  look(): void {
    const { stdin, raw } = this.#options;
    if (this.#closed || this.hasEnded) return;
    const mayRead = !stdin.isTTY || isInForeground();
    if (mayRead && raw && stdin.isTTY && !this.#isRaw) {
      stdin.setRawMode?.(true);
      // Node leaves the terminal's changes to the output on (a CR before each LF), which the command's own terminal has made already.
      if (stdin.fd !== undefined) spawnSync("stty", ["-opost"], { stdio: [stdin.fd, "ignore", "ignore"] });
      this.#isRaw = true;
      process.once("exit", this.#restore);
    }
    if (mayRead && !this.#waits) stdin.resume();
    else stdin.pause();
  }

  /** Reads no more, and gives the terminal back as it was. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    const { stdin } = this.#options;
    stdin.off("data", this.#onData);
    stdin.off("end", this.#onEnd);
    stdin.off("error", this.#onEnd);
    stdin.pause();
    this.#restore();
  }

  readonly #onData = (bytes: Uint8Array) => {
    this.#waits = true;
    this.look();
    void this.#options.write(bytes).then(() => {
      this.#waits = false;
      this.look();
    });
  };

  readonly #onEnd = () => {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.#options.onEnd();
  };

  readonly #restore = () => {
    process.off("exit", this.#restore);
    if (this.#isRaw) this.#options.stdin.setRawMode?.(false);
    this.#isRaw = false;
  };
}

const longestCheckpoint = 64 * 1024;
const checkpointEveryMs = 1000;

/** Keeps what a job saved last, and says when it is to be sent: at most once a second. */
export class CheckpointBox {
  readonly #onDue: () => void;
  #bytes: Uint8Array = new Uint8Array();
  #unsent = false;
  #timer: NodeJS.Timeout | undefined;

  /** `onDue` is called when a checkpoint is to be sent that was not. */
  constructor(onDue: () => void) {
    this.#onDue = onDue;
  }

  /** Throws RangeError if a checkpoint is too long. */
  check(bytes: Uint8Array): void {
    if (bytes.length > longestCheckpoint)
      throw new RangeError(`a checkpoint has at most ${longestCheckpoint} bytes, not ${bytes.length}`);
  }

  /** Takes the place of what was saved before. */
  save(bytes: Uint8Array): void {
    this.#bytes = bytes.slice();
    this.#unsent = true;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#unsent) this.#onDue();
    }, checkpointEveryMs);
  }

  /** What goes with a report; undefined if nothing is new. With `whole` also what was sent before. */
  take({ whole }: { whole: boolean }): Uint8Array | undefined {
    const goes = (whole && this.#bytes.length > 0) || this.#unsent;
    this.#unsent = false;
    return goes ? this.#bytes : undefined;
  }

  /** Nothing more is saved. What was not sent goes with the next report. */
  close(): void {
    clearTimeout(this.#timer);
  }
}

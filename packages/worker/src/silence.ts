/** After a silence, what has come and waits unread gets so long to be read, milliseconds. */
const unreadMs = 250;

/**
 * Tells when nobody has said anything for a while. A process that stood still meanwhile (stopped, or busy) reads what has come before it
 * decides.
 */
export class Silence {
  readonly #timer: NodeJS.Timeout;
  #last: NodeJS.Timeout | undefined;

  constructor(ms: number, onSilence: () => void) {
    this.#timer = setTimeout(
      () => {
        this.#last = setTimeout(onSilence, unreadMs);
      },
      Math.max(0, ms - unreadMs),
    );
  }

  /** Somebody has said something. */
  broken(): void {
    clearTimeout(this.#last);
    this.#timer.refresh();
  }

  /** Tells nothing any more. */
  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#last);
  }
}

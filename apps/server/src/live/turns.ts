/** What readers are given in one turn of the event loop, all together. */
const turnBytes = 256 * 1024;

interface Waiting {
  readonly bytes: number;
  readonly go: () => void;
}

/**
 * Lets readers take turns. Fifty that catch up on a log at the same moment would each have a delivery made before anybody else is heard:
 * an acknowledgement or a click would wait for all of them. In a turn of the event loop so much is made, and then the network has its say.
 */
export class Turns {
  readonly #turnBytes: number;
  readonly #waiting: Waiting[] = [];
  #given = 0;
  #isScheduled = false;

  constructor(bytes = turnBytes) {
    this.#turnBytes = bytes;
  }

  /** Resolves when a reader may make about `bytes` of messages: at once while the turn has room, else in the order in which they came. */
  take(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && this.#hasRoom(bytes)) {
      this.#give(bytes);
      return Promise.resolve();
    }
    return new Promise((go) => {
      this.#waiting.push({ bytes, go });
      this.#schedule();
    });
  }

  #hasRoom(bytes: number): boolean {
    return this.#given === 0 || this.#given + bytes <= this.#turnBytes;
  }

  #give(bytes: number): void {
    this.#given += Math.max(1, bytes);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#given = 0;
      let count = 0;
      for (const { bytes, go } of this.#waiting) {
        if (!this.#hasRoom(bytes)) break;
        this.#give(bytes);
        go();
        count++;
      }
      this.#waiting.splice(0, count);
    });
  }
}

/** What readers are given in one turn of the event loop, all together. */
const turnBytes = 256 * 1024;

/** Who wants no more than this never waits for those who want much: a few new lines of a log. */
const smallBytes = 16 * 1024;

interface Waiting {
  readonly bytes: number;
  readonly signal: AbortSignal;
  readonly go: () => void;
}

/**
 * Lets readers take turns. Fifty that catch up on a log at the same moment would each have a delivery made before anybody else is heard:
 * an acknowledgement or a click would wait for all of them. In a turn of the event loop so much is made, and then the network has its say.
 */
export class Turns {
  readonly #waiting: Waiting[] = [];
  #given = 0;
  #isScheduled = false;

  /**
   * Resolves when a reader may make about `bytes` of messages: at once if that is little or the turn has room, else in the order in which they
   * came. Who is aborted goes on when its turn comes, and takes none of it.
   */
  take(bytes: number, signal: AbortSignal): Promise<void> {
    if (bytes <= smallBytes || (this.#waiting.length === 0 && this.#hasRoom(bytes))) {
      this.#give(bytes);
      return Promise.resolve();
    }
    return new Promise((go) => {
      this.#waiting.push({ bytes, signal, go });
      this.#schedule();
    });
  }

  #hasRoom(bytes: number): boolean {
    return this.#given === 0 || this.#given + bytes <= turnBytes;
  }

  #give(bytes: number): void {
    if (bytes === 0) return;
    this.#given += bytes;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#given = 0;
      let count = 0;
      for (const { bytes, signal, go } of this.#waiting) {
        if (!signal.aborted) {
          if (!this.#hasRoom(bytes)) break;
          this.#give(bytes);
        }
        go();
        count++;
      }
      this.#waiting.splice(0, count);
    });
  }
}

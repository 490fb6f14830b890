import type { Readable } from "node:stream";

/** So much may still come from a pipe whose last known writer has gone: more than any pipe holds. */
const afterEndBytes = 1024 * 1024;
/** Nothing came for so long: nobody writes any more, though somebody still holds the pipe, milliseconds. */
const quietMs = 300;

/**
 * Gives everything that a stream delivers to `take`, piece by piece. While the promise that `take` may return is pending, nothing is read:
 * then the pipe fills and the program at its other end waits.
 */
export class Pump {
  /** Resolves when the stream has ended, failed or been closed. */
  readonly done: Promise<void>;
  readonly #stream: Readable;
  #bytes = 0;
  #waits = false;
  /** Nobody that counts writes any more: so many bytes are taken at most, and nothing waits. */
  #limit: number | undefined;

  constructor(stream: Readable, take: (bytes: Buffer) => Promise<unknown> | undefined) {
    this.#stream = stream;
    this.done = new Promise((resolve) => stream.once("close", resolve));
    stream.on("data", (bytes: Buffer) => {
      this.#bytes += bytes.length;
      const room = take(bytes);
      if (this.#limit !== undefined) {
        room?.catch(() => undefined);
        if (this.#bytes > this.#limit) stream.destroy();
        return;
      }
      if (!room) return;
      this.#waits = true;
      stream.pause();
      const goOn = () => {
        this.#waits = false;
        stream.resume();
      };
      room.then(goOn, goOn);
    });
    // A terminal whose last process has gone fails with EIO: that is its way to end.
    stream.on("error", () => undefined);
    stream.once("end", () => stream.destroy());
  }

  /**
   * No process that counts can write any more: takes what is in the pipe, and closes it even if a process that does not count holds it
   * open. It is little, and nobody is left to be held up: what `take` promises is not waited for, or the end of a program whose output
   * has no room would never come.
   */
  async finish(): Promise<void> {
    this.#limit = this.#bytes + afterEndBytes;
    if (this.#waits) this.#stream.resume();
    for (let before = -1; !this.#stream.destroyed && this.#bytes !== before;) {
      before = this.#bytes;
      await this.#within(quietMs);
    }
    this.#stream.destroy();
    await this.done;
  }

  async #within(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([this.done, new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
    clearTimeout(timer);
  }
}

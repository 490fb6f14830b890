import { randomFillSync } from "node:crypto";
import { closeSync, constants, fstatSync, fsyncSync, ftruncateSync, openSync, statfsSync, writeSync } from "node:fs";

/** What is given up, or taken back, at a time. */
const stepBytes = 1024 * 1024;

/**
 * A file that holds space on the disk, and gives it up when the disk is full: so there is room for a few thousand commands when there is
 * none for lines. Lives in a writer thread.
 */
export class Reserve {
  readonly #fd: number;
  readonly #wholeBytes: number;
  /** No file system may find it compressible. */
  readonly #filling = randomFillSync(new Uint8Array(stepBytes));
  #bytes: number;

  readonly #path: string;

  /** Opens or makes the file. It is as large as it was; {@link fill} makes it whole. */
  constructor(path: string, wholeBytes: number) {
    this.#path = path;
    this.#fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    this.#wholeBytes = wholeBytes;
    this.#bytes = fstatSync(this.#fd).size;
    if (this.#bytes > wholeBytes) this.#cut(wholeBytes);
  }

  /** Bytes that are held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How much it holds less than it should. */
  get lacks(): number {
    return this.#wholeBytes - this.#bytes;
  }

  /** Gives a piece of its space up; false if it has none, or cannot. */
  give(): boolean {
    return this.#bytes > 0 && this.#cut(Math.max(0, this.#bytes - stepBytes));
  }

  /** Takes space until it is whole. Returns false if there is not enough on the disk; then it holds what there was. */
  fill(): boolean {
    while (this.lacks > 0) {
      const before = this.#bytes;
      const step = Math.min(stepBytes, this.lacks);
      try {
        for (let written = 0; written < step;)
          written += writeSync(this.#fd, this.#filling, 0, step - written, before + written);
        this.#bytes = before + step;
      } catch {
        this.#cut(before);
        return false;
      }
    }
    return true;
  }

  /** Gives a piece up if else nothing is free: SQLite needs a little space to open a database, and so does who writes beside it. */
  leaveSome(): void {
    const { bavail, bsize } = statfsSync(this.#path);
    if (bavail * bsize < stepBytes) this.give();
  }

  close(): void {
    closeSync(this.#fd);
  }

  #cut(bytes: number): boolean {
    try {
      ftruncateSync(this.#fd, bytes);
      // Some file systems give the space to others only after their next commit.
      fsyncSync(this.#fd);
      this.#bytes = bytes;
      return true;
    } catch {
      return false;
    }
  }
}

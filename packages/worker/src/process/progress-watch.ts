import { lookedAtBytes, ProgressPatterns, type FoundProgress } from "./progress-patterns.ts";

/** Output is looked at no more often than this, milliseconds: the room hears of progress four times a second. */
const lookEveryMs = 100;

/** More is kept than is looked at, so that a secret that ends in what is looked at is known by its beginning. */
const keptBytes = 4 * lookedAtBytes;

/**
 * Looks for progress in an output, now and then and at its newest bytes only, so that a program that prints a gigabyte a second pays
 * next to nothing for it. Secrets are masked before.
 */
export class ProgressWatch {
  readonly #patterns = new ProgressPatterns();
  readonly #onFound: (found: FoundProgress) => void;
  readonly #masked: (text: string) => string;
  /** The newest bytes, in order; only the first `#length` count. */
  readonly #tail = Buffer.alloc(2 * keptBytes);
  #length = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(onFound: (found: FoundProgress) => void, masked: (text: string) => string) {
    this.#onFound = onFound;
    this.#masked = masked;
  }

  /** Takes what was printed. */
  take(bytes: Buffer): void {
    const newest = bytes.length > keptBytes ? bytes.subarray(-keptBytes) : bytes;
    if (this.#length + newest.length > this.#tail.length) {
      const kept = Math.max(0, keptBytes - newest.length);
      this.#tail.copyWithin(0, this.#length - kept, this.#length);
      this.#length = kept;
    }
    newest.copy(this.#tail, this.#length);
    this.#length += newest.length;
    this.#timer ??= setTimeout(() => this.#look(), lookEveryMs);
  }

  /** Looks for the last time. */
  close(): void {
    if (this.#timer) this.#look();
  }

  #look(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const found = this.#patterns.look(this.#masked(this.#tail.toString("utf8", 0, this.#length)));
    if (found) this.#onFound(found);
  }
}

import { MAX_CHUNK_BYTES } from "@signalbox/protocol";

const mebibyte = 1024 * 1024;

/** What is received and not yet committed, over all workers: nothing is pulled from any worker while this much is under way. */
export const ingestBoundBytes = 64 * mebibyte;
/** What a worker may always have on its way: one chunk. */
export const leastCreditBytes = MAX_CHUNK_BYTES;
/** What a worker may have on its way while less than half of the bound is in use. */
export const fullCreditBytes = 2 * mebibyte;

/** Bounds the bytes of chunks that are received and not yet on disk. */
export class IngestBudget {
  readonly #boundBytes: number;
  #usedBytes = 0;
  readonly #waiting = new Set<() => void>();

  constructor(boundBytes: number = ingestBoundBytes) {
    this.#boundBytes = boundBytes;
  }

  /** Bytes under way. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** The credit that each stream gets at present. */
  get creditBytes(): number {
    return this.#usedBytes < this.#boundBytes / 2 ? fullCreditBytes : leastCreditBytes;
  }

  /** Resolves when there is room to pull another message, or when `signal` aborts. */
  async room(signal: AbortSignal): Promise<void> {
    while (this.#usedBytes >= this.#boundBytes && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const settle = () => {
          this.#waiting.delete(settle);
          signal.removeEventListener("abort", settle);
          resolve();
        };
        this.#waiting.add(settle);
        signal.addEventListener("abort", settle, { once: true });
      });
    }
  }

  /** Counts bytes as under way until the returned function is called. */
  take(bytes: number): () => void {
    this.#usedBytes += bytes;
    return () => {
      this.#usedBytes -= bytes;
      if (this.#usedBytes < this.#boundBytes) for (const settle of [...this.#waiting]) settle();
    };
  }
}

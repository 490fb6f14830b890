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
  #isHeld = false;
  readonly #waiting = new Set<() => void>();

  constructor(boundBytes: number = ingestBoundBytes) {
    this.#boundBytes = boundBytes;
  }

  /** Bytes under way. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether another message may be pulled. */
  get hasRoom(): boolean {
    return !this.#isHeld && this.#usedBytes < this.#boundBytes;
  }

  /** The credit that each stream gets at present. */
  get creditBytes(): number {
    return !this.#isHeld && this.#usedBytes < this.#boundBytes / 2 ? fullCreditBytes : leastCreditBytes;
  }

  /** Calls `onRoom` once, when there is room again, unless {@link forget} takes it back before. */
  whenRoom(onRoom: () => void): void {
    this.#waiting.add(onRoom);
  }

  /** Takes back what {@link whenRoom} was given. */
  forget(onRoom: () => void): void {
    this.#waiting.delete(onRoom);
  }

  /** Counts bytes as under way. */
  take(bytes: number): void {
    this.#usedBytes += bytes;
  }

  /** Bytes that were taken are under way no longer. */
  give(bytes: number): void {
    this.#usedBytes -= bytes;
    this.#tell();
  }

  /** Whether to pull nothing at present, since nothing can be stored. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.#tell();
  }

  #tell(): void {
    if (this.#waiting.size === 0 || !this.hasRoom) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const onRoom of waiting) onRoom();
  }
}

import type { Input } from "@signalbox/protocol";
import type { Bell } from "./bell.ts";

/** Most bytes that wait for the job; the server sends no more than this ahead of what was taken. */
const longestWait = 256 * 1024;

/** The pieces of an input, in order, to be gone through by one at a time. */
export interface InputPieces extends AsyncIterable<Uint8Array> {
  /** Whether the next one is there, or there is none any more. */
  readonly isReady: boolean;
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined>;
}

/** Whether what a job goes through is its input. */
export function isInputPieces<T>(
  items: Iterable<T> | AsyncIterable<T>,
): items is AsyncIterable<T> & Pick<InputPieces, "isReady"> {
  return items instanceof Pieces;
}

class Pieces implements InputPieces {
  readonly #read: () => AsyncGenerator<Uint8Array, void, undefined>;
  readonly #isReady: () => boolean;

  constructor(read: () => AsyncGenerator<Uint8Array, void, undefined>, isReady: () => boolean) {
    this.#read = read;
    this.#isReady = isReady;
  }

  get isReady(): boolean {
    return this.#isReady();
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#read();
  }
}

/**
 * What operators send into one attempt, in the order of its offsets: pieces wait until the job takes them. A piece that came before is
 * dropped, and one that leaves a hole is asked for again.
 */
export class JobInput {
  readonly #onTaken: () => void;
  readonly #arrived: Bell;
  #pieces: Uint8Array[] = [];
  /** Offset after the bytes that the job has taken. */
  #taken = 0;
  /** Offset after the bytes that wait. */
  #received = 0;
  #ended = false;
  #closed = false;

  /** `onTaken` is called when the server is to hear how much was taken. `arrived` rings when the job may look again. */
  constructor({ arrived, onTaken }: { arrived: Bell; onTaken: () => void }) {
    this.#arrived = arrived;
    this.#onTaken = onTaken;
  }

  /** All bytes below this offset are taken; the server delivers what follows. */
  get taken(): number {
    return this.#taken;
  }

  /** Takes what the server delivers. */
  receive({ offset, data, eof }: Pick<Input, "offset" | "data" | "eof">): void {
    if (this.#closed || this.#ended) return;
    const begin = Number(offset);
    const end = begin + data.length;
    if (end > this.#taken + longestWait) return; // it was told how much may come
    if (begin > this.#received) {
      this.#onTaken();
      return;
    }
    if (end > this.#received) {
      this.#pieces.push(data.subarray(this.#received - begin));
      this.#received = end;
    }
    if (eof && end === this.#received) this.#ended = true;
    this.#arrived.ring();
  }

  /** The job has ended: nothing more is taken. */
  close(): void {
    this.#closed = true;
    this.#pieces = [];
  }

  /** The pieces, as the job takes them; ends where the input does. Throws the signal's reason when it aborts. */
  pieces(signal: AbortSignal): InputPieces {
    return new Pieces(
      () => this.#read(signal),
      () => this.#pieces.length > 0 || this.#ended || this.#closed || signal.aborted,
    );
  }

  async *#read(signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      signal.throwIfAborted();
      const piece = this.#pieces.shift();
      if (piece) {
        this.#taken += piece.length;
        this.#onTaken();
        yield piece;
      } else if (this.#ended || this.#closed) return;
      else await this.#arrived.wait();
    }
  }
}

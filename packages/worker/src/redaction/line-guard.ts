import { MAX_PIECE_BYTES } from "@signalbox/protocol";
import { LineSplitter, PARTIAL_MS, wholeSequences, type PieceCutter, type TakePiece } from "../line-splitter.ts";
import { LineMask } from "./line-mask.ts";
import { LiteralStream } from "./literal-stream.ts";
import type { Redactor } from "./redactor.ts";

/** Stands before the log of one attempt: nothing gets a number, or a place in memory or on disk, that is not masked. Counts what it masks. */
export class LineGuard {
  readonly #redactor: Redactor;
  #count = 0;

  constructor(redactor: Redactor) {
    this.#redactor = redactor;
  }

  /** Secrets masked in lines and fields so far. */
  get count(): number {
    return this.#count;
  }

  /** Cuts one source into pieces like a {@link LineSplitter}, masked. */
  splitter(take: TakePiece): PieceCutter {
    return new GuardedSplitter(this.#redactor, take, () => this.#count++);
  }

  /** The name or the value of a field, masked. */
  readonly field = (text: string): string => this.#redactor.text(text, () => this.#count++);
}

/**
 * Masks literals before the bytes are cut into pieces, so that no cut can fall into one, and patterns in each piece, which is a whole line
 * unless it is longer than 64 KiB or stood for 100 ms.
 */
class GuardedSplitter implements PieceCutter {
  readonly #redactor: Redactor;
  readonly #take: TakePiece;
  readonly #literals: LiteralStream;
  readonly #splitter: LineSplitter;
  readonly #lines: LineMask | undefined;
  /** No pattern matches in a piece that lies in the bytes that are being split. */
  #isClear = false;
  /** The next piece holds bytes from before, too. */
  #isMixed = false;
  /** A piece of the newest bytes had something that a pattern needs. */
  #isSuspect = false;

  constructor(redactor: Redactor, take: TakePiece, masked: () => void) {
    this.#redactor = redactor;
    this.#take = take;
    this.#literals = new LiteralStream({ pass: (bytes, atMs) => this.#split(bytes, atMs), masked });
    this.#splitter = new LineSplitter((bytes, continues, timeMs) => this.#takePiece(bytes, continues, timeMs));
    this.#lines = redactor.patterns && new LineMask(redactor.patterns, masked);
  }

  get expiresAtMs(): number | undefined {
    const heldMs = this.#literals.heldSinceMs;
    const { expiresAtMs } = this.#splitter;
    return heldMs === undefined ? expiresAtMs : Math.min(heldMs + PARTIAL_MS, expiresAtMs ?? Infinity);
  }

  write(bytes: Uint8Array, nowMs: number): void {
    this.#literals.write(bytes, nowMs, this.#redactor.automaton);
  }

  cutExpired(nowMs: number): void {
    const heldMs = this.#literals.heldSinceMs;
    if (heldMs !== undefined && nowMs >= heldMs + PARTIAL_MS) this.#literals.release();
    this.#splitter.cutExpired(nowMs);
  }

  /** What is held back stays: a lever that moves shall not let a secret through. */
  cut(): void {
    this.#splitter.cut();
  }

  startLine(): void {
    this.#literals.release();
    this.#splitter.startLine();
  }

  #split(bytes: Uint8Array, atMs: number): void {
    if (!this.#lines) {
      this.#splitter.write(bytes, atMs);
      return;
    }
    this.#isMixed = this.#splitter.expiresAtMs !== undefined;
    // Where the lines before had to be looked at one by one, these most likely have to, too.
    this.#isClear = !this.#isSuspect && !this.#lines.mayMatch(bytes);
    this.#isSuspect = false;
    this.#splitter.write(bytes, atMs);
    this.#isClear = false;
  }

  #takePiece(bytes: Uint8Array, continues: boolean, timeMs: number): void {
    const lines = this.#lines;
    if (!lines || (this.#isClear && !this.#isMixed && !lines.isInside)) {
      this.#take(bytes, continues, timeMs);
      return;
    }
    // A piece that was cut because it is full may leave some bytes to the next.
    this.#isMixed &&= bytes.length > MAX_PIECE_BYTES - 4;
    let masked: Buffer | undefined;
    if (lines.isInside || lines.mayMatch(bytes)) {
      this.#isSuspect = true;
      masked = lines.mask(asBuffer(bytes));
    }
    if (masked) this.#takeMasked(masked, continues, timeMs);
    else this.#take(bytes, continues, timeMs);
  }

  /** A mark may be longer than what it stands for. */
  #takeMasked(bytes: Buffer, continues: boolean, timeMs: number): void {
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + MAX_PIECE_BYTES);
      const length = at + piece.length < bytes.length ? wholeSequences(piece) : piece.length;
      this.#take(piece.subarray(0, length), continues || at > 0, timeMs);
      at += length;
    }
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

import { MAX_PIECE_BYTES } from "@signalbox/protocol";

/** Takes one piece. `bytes` is a view that is only good during the call; `timeMs` is when its first byte arrived. */
export type TakePiece = (bytes: Uint8Array, continues: boolean, timeMs: number) => void;

/** Cuts the bytes of one source into pieces. */
export interface PieceCutter {
  /** When the bytes that wait must go, on the clock that `write` is told; undefined if none wait. */
  readonly expiresAtMs: number | undefined;
  /** Takes bytes that arrived at `nowMs`. They are copied if they have to wait. */
  write(bytes: Uint8Array, nowMs: number): void;
  /** Cuts what has waited for 100 ms. */
  cutExpired(nowMs: number): void;
  /** Cuts what waits for its newline, now. */
  cut(): void;
  /** The next piece begins a new line, whatever came before. Cuts everything that waits. */
  startLine(): void;
}

const newline = 0x0a;

/** How long bytes without a newline wait for one, milliseconds. */
export const PARTIAL_MS = 100;

/**
 * Cuts the bytes of one source into pieces: at each newline, at 64 KiB but never inside a UTF-8 sequence, and, through `cutExpired`,
 * 100 ms after the first byte of the piece. Concatenated pieces are exactly the bytes written. No piece is empty.
 */
export class LineSplitter implements PieceCutter {
  readonly #take: TakePiece;
  #pending: Uint8Array | undefined;
  #pendingBytes = 0;
  #pendingSinceMs = 0;
  /** The newest piece had no newline at its end. */
  #open = false;

  constructor(take: TakePiece) {
    this.#take = take;
  }

  /** When the bytes that wait must go, on the clock that `write` is told; undefined if none wait. */
  get expiresAtMs(): number | undefined {
    return this.#pendingBytes > 0 ? this.#pendingSinceMs + PARTIAL_MS : undefined;
  }

  /** Takes bytes that arrived at `nowMs`. They are copied if they have to wait. */
  write(bytes: Uint8Array, nowMs: number): void {
    let at = 0;
    while (at < bytes.length) {
      const end = bytes.indexOf(newline, at) + 1 || bytes.length;
      const ends = end > at && bytes[end - 1] === newline;
      if (this.#pendingBytes > 0) {
        const room = MAX_PIECE_BYTES - this.#pendingBytes;
        const taken = Math.min(end - at, room);
        this.#append(bytes.subarray(at, at + taken));
        at += taken;
        if (ends && at === end) this.#cut(this.#pendingBytes);
        else if (this.#pendingBytes === MAX_PIECE_BYTES) this.#cutFull(nowMs);
        continue;
      }
      const length = end - at;
      if (ends && length <= MAX_PIECE_BYTES) {
        this.#emit(bytes.subarray(at, end), nowMs);
        at = end;
      } else if (length > MAX_PIECE_BYTES) {
        const piece = bytes.subarray(at, at + MAX_PIECE_BYTES);
        const whole = wholeSequences(piece);
        this.#emit(piece.subarray(0, whole), nowMs);
        at += whole;
      } else {
        this.#pendingSinceMs = nowMs;
        this.#append(bytes.subarray(at, end));
        at = end;
        if (this.#pendingBytes === MAX_PIECE_BYTES) this.#cutFull(nowMs);
      }
    }
  }

  /**
   * Cuts what has waited for 100 ms. A UTF-8 sequence that is not complete yet waits once more, unless it is all that there is.
   */
  cutExpired(nowMs: number): void {
    if (this.#pendingBytes === 0 || nowMs < this.#pendingSinceMs + PARTIAL_MS) return;
    this.#cutFull(nowMs);
  }

  /** Cuts whatever waits, now. */
  cut(): void {
    if (this.#pendingBytes > 0) this.#cut(this.#pendingBytes);
  }

  /** The next piece begins a new line, whatever came before. Cuts what waits. */
  startLine(): void {
    this.cut();
    this.#open = false;
  }

  #cutFull(nowMs: number): void {
    const pending = this.#pending?.subarray(0, this.#pendingBytes);
    if (!pending) return;
    this.#cut(wholeSequences(pending));
    this.#pendingSinceMs = nowMs;
  }

  #append(bytes: Uint8Array): void {
    const needed = this.#pendingBytes + bytes.length;
    if (!this.#pending || this.#pending.length < needed) {
      const larger = new Uint8Array(Math.min(MAX_PIECE_BYTES, Math.max(256, needed * 2)));
      if (this.#pending) larger.set(this.#pending.subarray(0, this.#pendingBytes));
      this.#pending = larger;
    }
    this.#pending.set(bytes, this.#pendingBytes);
    this.#pendingBytes = needed;
  }

  #cut(length: number): void {
    const pending = this.#pending;
    if (!pending) return;
    const rest = this.#pendingBytes - length;
    this.#pendingBytes = rest;
    this.#emit(pending.subarray(0, length), this.#pendingSinceMs);
    if (rest > 0) pending.copyWithin(0, length, length + rest);
  }

  #emit(bytes: Uint8Array, timeMs: number): void {
    const continues = this.#open;
    this.#open = bytes[bytes.length - 1] !== newline;
    this.#take(bytes, continues, timeMs);
  }
}

/**
 * How many of `bytes` can go without splitting a UTF-8 sequence at the end; all of them if the end is no beginning of a sequence, or
 * if they are nothing but one.
 */
export function wholeSequences(bytes: Uint8Array): number {
  const { length } = bytes;
  for (let back = 1; back <= Math.min(3, length); back++) {
    const byte = bytes[length - back] ?? 0;
    if ((byte & 0b1100_0000) === 0b1000_0000) continue;
    const needs = byte >= 0b1111_0000 ? 4 : byte >= 0b1110_0000 ? 3 : byte >= 0b1100_0000 ? 2 : 1;
    return needs > back && length > back ? length - back : length;
  }
  return length;
}

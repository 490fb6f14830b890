import { Covered } from "./covered.ts";
import { ROOT, type LiteralAutomaton } from "./literal-automaton.ts";
import { isLineEnd, markBytes, MAX_LITERAL_BYTES } from "./mark.ts";

/** What a stream is masked for. */
export interface LiteralSink {
  /** Takes bytes that arrived at `atMs`; they are only good during the call. */
  pass(bytes: Uint8Array, atMs: number): void;
  /** A secret has been masked. */
  masked(): void;
}

/**
 * Masks literals in a stream of bytes, however it is cut into writes: every byte of every occurrence, overlapping ones together. Bytes are
 * held back only while they may be the beginning of a literal, 4 KiB at most; everything else passes within its write. Line ends are kept.
 */
export class LiteralStream {
  readonly #sink: LiteralSink;
  /** Only the first `#heldBytes` count. */
  #held = Buffer.alloc(0);
  #heldBytes = 0;
  #heldSinceMs = 0;
  /** In held bytes, counted from their end, and in those of a write, counted from its begin. */
  readonly #covered = new Covered();
  #automaton: LiteralAutomaton | undefined;
  #state = ROOT;
  /** The newest byte that went on was masked. */
  #isMasking = false;

  constructor(sink: LiteralSink) {
    this.#sink = sink;
  }

  /** When the first byte that is held back arrived; undefined if none is. */
  get heldSinceMs(): number | undefined {
    return this.#heldBytes > 0 ? this.#heldSinceMs : undefined;
  }

  /** Bytes that are held back. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Takes bytes that arrived at `nowMs`. Another automaton than before begins anew with what is held back. */
  write(bytes: Uint8Array, nowMs: number, automaton: LiteralAutomaton | undefined): void {
    if (automaton !== this.#automaton) this.#change(automaton);
    if (!automaton) {
      this.#sink.pass(bytes, nowMs);
      return;
    }
    this.#read(bytes, automaton);
    const { length } = bytes;
    const open = Math.max(length - automaton.open(this.#state), -this.#heldBytes);
    // What is masked in any case need not wait.
    const keptFrom = this.#covered.isEmpty ? open : this.#covered.endAround(open);
    if (this.#heldBytes === 0 && this.#covered.isEmpty) {
      if (keptFrom > 0) this.#pass(keptFrom === length ? bytes : bytes.subarray(0, keptFrom), nowMs);
    } else {
      this.#send(bytes, keptFrom, nowMs);
    }
    this.#hold(bytes, keptFrom, nowMs);
  }

  /**
   * Lets go what is held back, as it is. If the rest of a secret comes after all, that is still masked.
   */
  release(): void {
    if (this.#heldBytes === 0) return;
    this.#send(nothing, 0, 0);
    this.#covered.forget(0, 0);
    this.#heldBytes = 0;
  }

  #change(automaton: LiteralAutomaton | undefined): void {
    const held = Buffer.from(this.#held.subarray(0, this.#heldBytes));
    const sinceMs = this.#heldSinceMs;
    this.#automaton = automaton;
    this.#state = ROOT;
    this.#covered.forget(0, 0);
    this.#heldBytes = 0;
    if (held.length > 0) this.write(held, sinceMs, automaton);
  }

  #read(bytes: Uint8Array, automaton: LiteralAutomaton): void {
    const { length } = bytes;
    let state = this.#state;
    for (let at = 0; at < length;) {
      if (state === ROOT) {
        at = automaton.search.next(bytes, at);
        if (at >= length) break;
      }
      state = automaton.step(state, bytes[at++] ?? 0);
      const matched = automaton.matched(state);
      // What was let go is gone.
      if (matched > 0) this.#covered.add(Math.max(at - matched, -this.#heldBytes), at);
    }
    this.#state = state;
  }

  /** Sends on what is held and what was written, up to `to`, masked. */
  #send(bytes: Uint8Array, to: number, nowMs: number): void {
    this.#covered.walk(-this.#heldBytes, to, (from, until, isCovered) => {
      const send = (part: Uint8Array, atMs: number) => {
        if (part.length === 0) return;
        if (isCovered) this.#mask(part, atMs);
        else this.#pass(part, atMs);
      };
      if (from < 0) {
        const origin = this.#heldBytes;
        send(this.#held.subarray(origin + from, origin + Math.min(until, 0)), this.#heldSinceMs);
      }
      if (until > 0) send(bytes.subarray(Math.max(from, 0), until), nowMs);
    });
  }

  #pass(bytes: Uint8Array, atMs: number): void {
    this.#isMasking = false;
    this.#sink.pass(bytes, atMs);
  }

  #mask(bytes: Uint8Array, atMs: number): void {
    for (let at = 0; at < bytes.length; at++) {
      if (isLineEnd(bytes[at])) {
        this.#pass(bytes.subarray(at, at + 1), atMs);
      } else if (!this.#isMasking) {
        this.#isMasking = true;
        this.#sink.masked();
        this.#sink.pass(markBytes, atMs);
      }
    }
  }

  /** Keeps what was not sent. */
  #hold(bytes: Uint8Array, from: number, nowMs: number): void {
    const { length } = bytes;
    this.#covered.forget(from, length);
    if (length - from > this.#held.length) this.#grow(length - from);
    if (from < 0) {
      this.#held.copyWithin(0, this.#heldBytes + from, this.#heldBytes);
      this.#held.set(bytes, -from);
    } else {
      if (from < length) this.#held.set(from === 0 ? bytes : bytes.subarray(from), 0);
      this.#heldSinceMs = nowMs;
    }
    this.#heldBytes = length - from;
  }

  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafe(Math.min(MAX_LITERAL_BYTES, Math.max(64, 2 * bytes)));
    larger.set(this.#held.subarray(0, this.#heldBytes));
    this.#held = larger;
  }
}

const nothing = new Uint8Array();

import type { Position } from "../store/store.ts";
import { previousDigestField, previousDigestOf } from "./previous-digest.ts";

/** The first thing that is wrong with a topic. */
export interface ChainFault {
  /** The first bad entry. */
  readonly position: Position;
  readonly words: string;
  /** Set where `position` is the entry before one that follows another entry: what that is, by its digest, and which one it is. */
  readonly follows?: { readonly digest: Uint8Array; readonly by: Position };
}

/** Follows a topic entry by entry: each must carry the digest of the one before. */
export class Chain {
  readonly #field: number;
  #last: Position = 0;
  #digest: Uint8Array | undefined;
  #isChained = false;
  #unchained = 0;

  constructor(kind: keyof typeof previousDigestField) {
    this.#field = previousDigestField[kind];
  }

  /** The newest entry that is in its place; 0 if none was seen. */
  get last(): Position {
    return this.#last;
  }

  /** Entries from before servers chained them, whose place nothing proves. */
  get unchained(): number {
    return this.#unchained;
  }

  /** Takes the next entry in; returns what is wrong with it or with the one before. */
  add(position: Position, data: Uint8Array, digest: Uint8Array): ChainFault | undefined {
    let previous: Uint8Array;
    try {
      previous = previousDigestOf(data, this.#field);
    } catch {
      return { position, words: `Entry ${position} cannot be read: it was changed.` };
    }
    const fault = this.#faultOf(position, previous);
    if (fault) return fault;
    if (previous.length > 0) this.#isChained = true;
    else if (this.#digest) this.#unchained++;
    this.#last = position;
    this.#digest = digest;
    return undefined;
  }

  #faultOf(position: Position, previous: Uint8Array): ChainFault | undefined {
    if (!this.#digest) {
      if (previous.length === 0) return undefined;
      return {
        position,
        words: `The beginning is missing: entry ${position} is the first, and it follows another one.`,
      };
    }
    if (previous.length === 0) {
      if (!this.#isChained) return undefined;
      return {
        position,
        words: `Entry ${position} does not say which one it follows, and those before it do: it was put there.`,
      };
    }
    if (Buffer.compare(previous, this.#digest) === 0) return undefined;
    return {
      position: this.#last,
      words: `Entry ${this.#last} was changed, or what came after it is gone: entry ${position} follows another one.`,
      follows: { digest: previous, by: position },
    };
  }
}

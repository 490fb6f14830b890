import { SkipSearch } from "./skip-search.ts";

/** The state in which nothing that has been read is the beginning of a literal. */
export const ROOT = 0;

/**
 * Finds every occurrence of many literals in one pass, however they overlap (Aho and Corasick). The state is a number, so that one
 * automaton serves many streams. A state takes 24 bytes, a literal as many states as it has bytes.
 */
export class LiteralAutomaton {
  /** Where reading can begin in the root state without reading every byte. */
  readonly search: SkipSearch;
  readonly #firstChild: Int32Array;
  readonly #sibling: Int32Array;
  readonly #byte: Uint8Array;
  /** The state of the longest other beginning that the newest bytes are. */
  readonly #fallback: Int32Array;
  readonly #matched: Int32Array;
  readonly #open: Int32Array;
  readonly #fromRoot = new Int32Array(256);

  /** Literals have two bytes or more, and there is one at least. */
  constructor(literals: readonly Uint8Array[]) {
    this.search = new SkipSearch(literals);
    const most = literals.reduce((sum, { length }) => sum + length, 1);
    this.#firstChild = new Int32Array(most);
    this.#sibling = new Int32Array(most);
    this.#byte = new Uint8Array(most);
    this.#fallback = new Int32Array(most);
    this.#matched = new Int32Array(most);
    this.#open = new Int32Array(most);
    const depths = new Int32Array(most);
    let states = 1;
    for (const literal of literals) {
      let state = ROOT;
      for (const byte of literal) {
        let child = this.#child(state, byte);
        if (child === ROOT) {
          child = states++;
          this.#byte[child] = byte;
          this.#sibling[child] = this.#firstChild[state] ?? ROOT;
          this.#firstChild[state] = child;
          depths[child] = (depths[state] ?? 0) + 1;
          if (state === ROOT) this.#fromRoot[byte] = child;
        }
        state = child;
      }
      this.#matched[state] = literal.length;
    }
    this.#link(depths);
  }

  /** The state after one more byte. */
  step(state: number, byte: number): number {
    for (let from = state; from !== ROOT; from = this.#fallback[from] ?? ROOT) {
      const child = this.#child(from, byte);
      if (child !== ROOT) return child;
    }
    return this.#fromRoot[byte] ?? ROOT;
  }

  /** Length of the longest literal that the newest bytes are; 0: none. */
  matched(state: number): number {
    return this.#matched[state] ?? 0;
  }

  /** How many of the newest bytes may be the beginning of a literal that is not complete yet. */
  open(state: number): number {
    return this.#open[state] ?? 0;
  }

  /** Whether any literal is in these bytes. */
  isIn(bytes: Uint8Array): boolean {
    const { length } = bytes;
    let state = ROOT;
    for (let at = 0; at < length;) {
      if (state === ROOT) {
        at = this.search.next(bytes, at);
        if (at >= length) return false;
      }
      state = this.step(state, bytes[at++] ?? 0);
      if (this.matched(state) > 0) return true;
    }
    return false;
  }

  #child(state: number, byte: number): number {
    let child = this.#firstChild[state] ?? ROOT;
    while (child !== ROOT && this.#byte[child] !== byte) child = this.#sibling[child] ?? ROOT;
    return child;
  }

  /** Level by level: what a state falls back to is nearer to the root. */
  #link(depths: Int32Array): void {
    const queue = new Int32Array(depths.length);
    let queued = 0;
    for (let next = -1; next < queued; next++) {
      const state = next < 0 ? ROOT : (queue[next] ?? ROOT);
      const fallback = this.#fallback[state] ?? ROOT;
      if (this.#matched[state] === 0) this.#matched[state] = this.#matched[fallback] ?? 0;
      const first = this.#firstChild[state] ?? ROOT;
      this.#open[state] = first === ROOT ? (this.#open[fallback] ?? 0) : (depths[state] ?? 0);
      for (let child = first; child !== ROOT; child = this.#sibling[child] ?? ROOT) {
        if (state !== ROOT) this.#fallback[child] = this.step(fallback, this.#byte[child] ?? 0);
        queue[queued++] = child;
      }
    }
  }
}

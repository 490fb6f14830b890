// Longer windows find what is there no sooner, and a table entry is a byte.
const longestWindow = 16;

/**
 * Looks for many needles at once without looking at every byte: the two bytes at the end of a window say how far it can be moved (Wu and
 * Manber, with blocks of two bytes).
 */
export class SkipSearch {
  /** How many bytes of a needle are looked at: as many as the shortest has. */
  readonly #window: number;
  /** By two bytes: how far a window that ends with them can move. */
  readonly #shift: Uint8Array;
  /** By two bytes: whether a needle begins with them. */
  readonly #heads: Uint8Array;

  /** Needles have two bytes or more, and there is one at least. */
  constructor(needles: readonly Uint8Array[]) {
    const window = Math.min(longestWindow, ...needles.map(({ length }) => length));
    if (window < 2 || needles.length === 0) throw new RangeError("there are needles, of two bytes or more");
    const shift = new Uint8Array(65_536).fill(window - 1);
    const heads = new Uint8Array(65_536);
    for (const needle of needles) {
      heads[pairAt(needle, 0)] = 1;
      for (let at = 0; at + 2 <= window; at++) {
        const pair = pairAt(needle, at);
        shift[pair] = Math.min(shift[pair] ?? 0, window - 2 - at);
      }
    }
    this.#window = window;
    this.#shift = shift;
    this.#heads = heads;
  }

  /**
   * The first place from `from` on where a needle may begin; none begins before it. The bytes from there on may be too few to tell. The
   * length of `bytes` if there is none.
   */
  next(bytes: Uint8Array, from: number): number {
    const shift = this.#shift;
    const heads = this.#heads;
    const toEnd = this.#window - 1;
    const { length } = bytes;
    let at = from;
    for (let end = at + toEnd; end < length; end = at + toEnd) {
      const by = shift[((bytes[end - 1] ?? 0) << 8) | (bytes[end] ?? 0)] ?? 0;
      if (by > 0) at += by;
      else if (heads[((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)] === 1) return at;
      else at++;
    }
    return Math.min(at, length);
  }
}

function pairAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

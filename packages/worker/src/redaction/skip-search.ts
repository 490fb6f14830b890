// One bit for each place in the window.
const longestWindow = 17;

/**
 * Looks for many needles at once without looking at every byte: of the pairs of bytes that a needle begins with, one lies at every so
 * many bytes, and a table says which pairs those may be, and where in a needle.
 */
export class SkipSearch {
  /** How many bytes of a needle are looked at: as many as the shortest has. */
  readonly #window: number;
  /** By pair of bytes: a bit for each place that it has in the window of a needle. */
  readonly #places = new Uint16Array(65_536);

  /** Needles have two bytes or more, and there is one at least. */
  constructor(needles: readonly Uint8Array[]) {
    const window = Math.min(longestWindow, ...needles.map(({ length }) => length));
    if (window < 2 || needles.length === 0) throw new RangeError("there are needles, of two bytes or more");
    this.#window = window;
    for (const needle of needles)
      for (let at = 0; at + 2 <= window; at++) {
        const pair = pairAt(needle, at);
        this.#places[pair] = (this.#places[pair] ?? 0) | (1 << at);
      }
  }

  /**
   * The first place from `from` on where a needle may begin; none begins before it. The bytes from there on may be too few to tell. The
   * length of `bytes` if there is none.
   */
  next(bytes: Uint8Array, from: number): number {
    const places = this.#places;
    const { length } = bytes;
    const step = this.#window - 1;
    let at = from + step - 1;
    while (at + 1 < length) {
      // Four looks that do not depend on each other: the processor takes them at once.
      for (let last = at + 3 * step; last + 1 < length; last = at + 3 * step) {
        const second = at + step;
        const third = second + step;
        const found =
          (places[((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)] ?? 0) |
          (places[((bytes[second] ?? 0) << 8) | (bytes[second + 1] ?? 0)] ?? 0) |
          (places[((bytes[third] ?? 0) << 8) | (bytes[third + 1] ?? 0)] ?? 0) |
          (places[((bytes[last] ?? 0) << 8) | (bytes[last + 1] ?? 0)] ?? 0);
        if (found !== 0) break;
        at = last + step;
      }
      for (const end = Math.min(at + 4 * step, length - 1); at < end; at += step) {
        const found = places[((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)] ?? 0;
        const begin = found === 0 ? -1 : this.#begin(bytes, at, found, from);
        if (begin >= 0) return begin;
      }
    }
    // What is left is shorter than a window.
    let rest = at - step + 1;
    while (rest + 1 < length && ((places[((bytes[rest] ?? 0) << 8) | (bytes[rest + 1] ?? 0)] ?? 0) & 1) === 0) rest++;
    return Math.min(rest, length);
  }

  /** The first place where a needle may begin that has the pair at `at`; -1: none. */
  #begin(bytes: Uint8Array, at: number, found: number, from: number): number {
    const places = this.#places;
    for (let place = this.#window - 2; place >= 0; place--) {
      const begin = at - place;
      if ((found & (1 << place)) === 0 || begin < from) continue;
      if (((places[pairAt(bytes, begin)] ?? 0) & 1) === 0) continue;
      if (this.#window === 2 || begin + 2 >= bytes.length) return begin;
      if (((places[pairAt(bytes, begin + 1)] ?? 0) & 2) !== 0) return begin;
    }
    return -1;
  }
}

function pairAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

const word = /\P{White_Space}+/gu;
/** So many different words are counted at a time. */
const mostWords = 100_000;
/** Longer words are not among them, characters. */
const longestWord = 100;

/**
 * Counts how often each word comes, in bounded memory. Where a text has more than 100,000 different words, every count is lowered by one
 * whenever there is no room for another: the frequent ones stay, and `lowBy` says how much too low a count may be.
 */
export class TopWords {
  readonly #counts = new Map<string, number>();
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** The beginning of a word that the next piece may go on with; longer than is counted, it is only remembered that it is too long. */
  #begun = "";
  #lowBy = 0;

  /** By how much a count may be too low; 0: all are exact. */
  get lowBy(): number {
    return this.#lowBy;
  }

  /** Takes the next piece of the text. */
  add(piece: Uint8Array): void {
    this.#take(this.#decoder.decode(piece, { stream: true }), false);
  }

  /** Nothing follows. */
  end(): void {
    this.#take(this.#decoder.decode(), true);
  }

  /** The most frequent words, those with the same count by their text. */
  most(wanted: number): [word: string, count: number][] {
    const top: [string, number][] = [];
    const before = (a: [string, number], b: [string, number]) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1);
    for (const entry of this.#counts) {
      const last = top.at(wanted - 1);
      if (last && before(entry, last) > 0) continue;
      top.push(entry);
      top.sort(before).splice(wanted);
    }
    return top;
  }

  #take(text: string, isEnd: boolean): void {
    const all = this.#begun + text;
    this.#begun = "";
    for (const { 0: each, index } of all.matchAll(word)) {
      if (!isEnd && index + each.length === all.length) this.#begun = each.slice(0, longestWord + 1);
      else if (each.length <= longestWord) this.#count(each);
    }
  }

  #count(each: string): void {
    const count = this.#counts.get(each);
    if (count === undefined && this.#counts.size >= mostWords) this.#makeRoom();
    else this.#counts.set(each, (count ?? 0) + 1);
  }

  #makeRoom(): void {
    this.#lowBy++;
    for (const [each, count] of this.#counts) {
      if (count > 1) this.#counts.set(each, count - 1);
      else this.#counts.delete(each);
    }
  }
}

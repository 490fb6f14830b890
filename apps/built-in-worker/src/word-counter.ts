const wordByte = 0;
const spaceByte = 1;
const newline = 2;
/** A byte with which white space beyond ASCII may begin. */
const headByte = 3;

const kinds = new Uint8Array(256);
for (const byte of [0x09, 0x0b, 0x0c, 0x0d, 0x20]) kinds[byte] = spaceByte;
kinds[0x0a] = newline;
for (const byte of [0xc2, 0xe1, 0xe2, 0xe3]) kinds[byte] = headByte;

/** White space was complete, or it was none; a larger number is the bytes of one that goes on. */
const space = 1;
const none = 0;

/** What the bytes so far and one more are: white space, the beginning of some, or neither. */
function afterHead(head: number, byte: number): number {
  switch (head) {
    case 0xc2:
      return byte === 0x85 || byte === 0xa0 ? space : none;
    case 0xe1:
      return byte === 0x9a ? 0xe19a : none;
    case 0xe2:
      return byte === 0x80 ? 0xe280 : byte === 0x81 ? 0xe281 : none;
    case 0xe3:
      return byte === 0x80 ? 0xe380 : none;
    case 0xe280:
      return (byte >= 0x80 && byte <= 0x8a) || byte === 0xa8 || byte === 0xa9 || byte === 0xaf ? space : none;
    case 0xe281:
      return byte === 0x9f ? space : none;
    default:
      return byte === 0x80 ? space : none;
  }
}

/**
 * Counts the bytes, lines and words of a text that comes in pieces, which may end anywhere, in the middle of a character too. A line is
 * what ends with `\n`. A word is what lies between white space as Unicode has it (the property White_Space), in UTF-8. Any bytes are
 * allowed: what is no UTF-8 belongs to a word.
 */
export class WordCounter {
  #bytes = 0;
  #lines = 0;
  #words = 0;
  #inWord = false;
  #head = none;

  get bytes(): number {
    return this.#bytes;
  }

  get lines(): number {
    return this.#lines;
  }

  /** A word counts from its first character on. */
  get words(): number {
    return this.#words;
  }

  /** Takes the next piece. */
  add(piece: Uint8Array): void {
    let lines = 0;
    let words = 0;
    let inWord = this.#inWord;
    let head = this.#head;
    // By index: this is the whole work, and an iterator takes half as long again.
    for (let i = 0; i < piece.length; i++) {
      const byte = piece[i] ?? 0;
      if (head !== none) {
        head = afterHead(head, byte);
        if (head === space) inWord = false;
        if (head === space) head = none;
        else if (head === none) {
          // What looked like white space was a character of a word; this byte is looked at for itself.
          if (!inWord) words++;
          inWord = true;
          if (kinds[byte] !== wordByte) {
            if (kinds[byte] === headByte) head = byte;
            else {
              inWord = false;
              if (kinds[byte] === newline) lines++;
            }
          }
        }
        continue;
      }
      const kind = kinds[byte];
      if (kind === wordByte) {
        if (!inWord) words++;
        inWord = true;
      } else if (kind === headByte) head = byte;
      else {
        inWord = false;
        if (kind === newline) lines++;
      }
    }
    this.#bytes += piece.length;
    this.#lines += lines;
    this.#words += words;
    this.#inWord = inWord;
    this.#head = head;
  }

  /** Nothing follows: what looked like the beginning of white space was none. */
  end(): void {
    if (this.#head === none) return;
    if (!this.#inWord) this.#words++;
    this.#inWord = true;
    this.#head = none;
  }
}

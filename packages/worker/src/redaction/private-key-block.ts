const begin = Buffer.from("-----BEGIN ");
const end = Buffer.from("-----END ");
const beginLine = /-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----/;
const endMark = /-----END (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----/;
/** The lines of a key are 64 or 76 characters long, but for the last. */
const fullLine = 40;
/** A key of 16,384 bits has 200 lines. */
const longestBlockLines = 400;
/** Lines before the key itself: `Proc-Type: 4,ENCRYPTED` and an empty one. */
const mostHeaders = 8;
/** Lines that are no key's, such as those of another thread. With more of them there is no END. */
const mostOthers = 8;
/** No word of a sentence is so long. */
const longWord = 16;

/**
 * Follows the lines of one source through private keys in PEM, so that all lines between BEGIN and END are masked, whatever a logger puts
 * before them: the last word of each is the key. Where other lines stand between them, some are let through as they are; then the block
 * is over.
 */
export class PrivateKeyBlock {
  #linesLeft = 0;
  #headersLeft = 0;
  #othersLeft = 0;
  /** Where BEGIN stood in its line: what is before that is a logger's. */
  #column = 0;
  /** The line before was short, as the last one of a key is. */
  #wasLast = false;

  /** Whether the next line may belong to a key. */
  get isOpen(): boolean {
    return this.#linesLeft > 0;
  }

  /** What of the next line is secret, as a range of bytes; undefined: nothing. */
  next(line: Buffer): [number, number] | undefined {
    if (!this.isOpen && !line.includes(begin)) return undefined;
    // One character a byte, so that places in the text are places in the line.
    const text = line.toString("latin1");
    const opened = beginLine.exec(text);
    if (opened) return this.#open(text, opened.index, opened.index + opened[0].length);
    if (!this.isOpen) return undefined;
    this.#linesLeft--;
    if (line.includes(end) && endMark.test(text)) return this.#close(text);
    return this.#inside(text);
  }

  #open(text: string, column: number, from: number): [number, number] | undefined {
    const closed = endMark.exec(text.slice(from));
    // In one line, as in JSON or in a variable.
    if (closed) return this.#range(from, from + closed.index);
    this.#linesLeft = longestBlockLines;
    this.#headersLeft = mostHeaders;
    this.#othersLeft = mostOthers;
    this.#column = column;
    this.#wasLast = false;
    return this.#range(from, text.trimEnd().length);
  }

  #close(text: string): [number, number] | undefined {
    this.#linesLeft = 0;
    const until = endMark.exec(text)?.index ?? 0;
    return this.#range(wordBefore(text, until), until);
  }

  #inside(text: string): [number, number] | undefined {
    const to = text.trimEnd().length;
    const from = wordBefore(text, to);
    if (to <= this.#column) return undefined;
    const length = to - from;
    const isFull = length >= fullLine;
    if (!isFull && this.#headersLeft > 0 && text.slice(this.#column, from).includes(": ")) {
      this.#headersLeft--;
      return undefined;
    }
    this.#headersLeft = 0;
    // Behind a short line only what looks like a key goes on with it.
    const isKey = length > 0 && (!this.#wasLast || from === this.#column || length >= longWord);
    if (!isKey) {
      if (this.#othersLeft-- === 0) this.#linesLeft = 0;
      return undefined;
    }
    this.#wasLast = !isFull;
    return this.#range(from, to);
  }

  #range(from: number, to: number): [number, number] | undefined {
    return to > from ? [from, to] : undefined;
  }
}

/** Where the base64 word begins that ends at `to`; quotes and commas behind it belong to it. */
function wordBefore(text: string, to: number): number {
  let at = to;
  while (at > 0 && `"',`.includes(text[at - 1] ?? "")) at--;
  const end = at;
  while (at > 0 && /[A-Za-z0-9+/=\\]/.test(text[at - 1] ?? "")) at--;
  return at === end ? to : at;
}

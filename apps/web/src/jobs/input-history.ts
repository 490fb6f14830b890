/** At most so many inputs are kept. */
const mostKept = 200;

/** What was sent from this page, to find again: `older` and `newer` go through it, and back to what was being typed. */
export class InputHistory {
  readonly #sent: string[] = [];
  /** Place in `#sent`; its length: what is being typed. */
  #at = 0;
  #typed = "";

  /** Keeps what was sent, and goes back to the end. The same twice in a row is kept once, nothing not at all. */
  add(text: string): void {
    if (text !== "" && this.#sent.at(-1) !== text) this.#sent.push(text);
    if (this.#sent.length > mostKept) this.#sent.shift();
    this.#at = this.#sent.length;
    this.#typed = "";
  }

  /** The input before; undefined at the oldest. `typed` is what stands in the field now. */
  older(typed: string): string | undefined {
    if (this.#at === this.#sent.length) this.#typed = typed;
    const found = this.#sent[this.#at - 1];
    if (found !== undefined) this.#at--;
    return found;
  }

  /** The input after, at last what was being typed; undefined beyond that. */
  newer(): string | undefined {
    if (this.#at >= this.#sent.length) return undefined;
    this.#at++;
    return this.#sent[this.#at] ?? this.#typed;
  }
}

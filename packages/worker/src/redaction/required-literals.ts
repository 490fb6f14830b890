/** What one part of a pattern needs: any one of these; undefined: nothing that is known. */
type Needs = readonly string[] | undefined;

const mostAlternatives = 32;
const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", f: "\f", v: "\v", a: "\x07" };

/**
 * Strings of which a text must contain one to match a pattern of RE2; undefined if it is not certain that there are such. It understands
 * the parts of the syntax that patterns are mostly made of, and is cautious about the rest.
 */
export function requiredLiterals(pattern: string): readonly string[] | undefined {
  const reader = new PatternReader(pattern);
  const needs = reader.alternation();
  return reader.isDone ? needs : undefined;
}

/** Reads a pattern from left to right. What it does not understand, it leaves unread. */
class PatternReader {
  readonly #pattern: string;
  #at = 0;
  #isLost = false;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  get isDone(): boolean {
    return !this.#isLost && this.#at === this.#pattern.length;
  }

  /** All alternatives up to the end of the group: one of them must be there. */
  alternation(): Needs {
    const all: string[] = [];
    let isKnown = true;
    do {
      const needs = this.#sequence();
      if (needs) all.push(...needs);
      else isKnown = false;
    } while (this.#take("|"));
    return isKnown && all.length <= mostAlternatives ? all : undefined;
  }

  /** Of what must be there one after the other, the part that is rarest: the one whose shortest alternative is longest. */
  #sequence(): Needs {
    let best: Needs;
    let run = "";
    const consider = (needs: Needs) => {
      if (needs && shortest(needs) > (best ? shortest(best) : 0)) best = needs;
    };
    const endRun = () => {
      if (run) consider([run]);
      run = "";
    };
    while (this.#at < this.#pattern.length && !this.#isLost && !"|)".includes(this.#peek())) {
      const atom = this.#atom();
      const repeats = this.#quantifier();
      if (atom.kind === "character" && repeats !== "maybe") run += atom.text;
      if (atom.kind === "character" && repeats === "once") continue;
      endRun();
      if (atom.kind === "group" && repeats !== "maybe") consider(atom.needs);
    }
    endRun();
    return best;
  }

  #atom(): { kind: "character"; text: string } | { kind: "group"; needs: Needs } | { kind: "other" } {
    if (this.#take("(")) return this.#group();
    if (this.#take("[")) return this.#class();
    if (this.#take("\\")) return this.#escape();
    const character = this.#next();
    if (".^$".includes(character)) return { kind: "other" };
    // A repetition of nothing, or a brace that may be one.
    if ("*+?{".includes(character)) this.#isLost = true;
    return { kind: "character", text: character };
  }

  #group(): { kind: "group"; needs: Needs } {
    if (this.#peek() === "?") {
      const head = /^\?(?::|P?<[A-Za-z_]\w*>)/u.exec(this.#pattern.slice(this.#at))?.[0];
      // Flags such as (?i) change what letters mean.
      if (head === undefined) this.#isLost = true;
      this.#at += head?.length ?? 0;
    }
    const needs = this.#isLost ? undefined : this.alternation();
    if (!this.#take(")")) this.#isLost = true;
    return { kind: "group", needs };
  }

  #class(): { kind: "other" } {
    this.#take("^");
    // A bracket that comes first is one of its characters.
    this.#take("]");
    while (!this.#take("]")) {
      if (this.#at >= this.#pattern.length) this.#isLost = true;
      if (this.#isLost) break;
      const named = /^\[:\^?\w+:\]/u.exec(this.#pattern.slice(this.#at))?.[0];
      if (named !== undefined) this.#at += named.length;
      else if (this.#next() === "\\") this.#next();
    }
    return { kind: "other" };
  }

  #escape(): { kind: "character"; text: string } | { kind: "other" } {
    const character = this.#next();
    const text = escapes[character];
    if (text !== undefined) return { kind: "character", text };
    if ("dDsSwWbBAz".includes(character)) return { kind: "other" };
    // Punctuation stands for itself.
    if (!/[^\w\s]/u.test(character)) this.#isLost = true;
    return { kind: "character", text: character };
  }

  #quantifier(): "once" | "more" | "maybe" {
    const found = /^(?:[*?+]|\{(\d+)(?:,\d*)?\})\??/u.exec(this.#pattern.slice(this.#at));
    if (!found) return "once";
    this.#at += found[0].length;
    if (found[1] !== undefined) return Number(found[1]) > 0 ? "more" : "maybe";
    return found[0].startsWith("+") ? "more" : "maybe";
  }

  #peek(): string {
    return this.#pattern[this.#at] ?? "";
  }

  #next(): string {
    const code = this.#pattern.codePointAt(this.#at);
    if (code === undefined) {
      this.#isLost = true;
      return "";
    }
    const character = String.fromCodePoint(code);
    this.#at += character.length;
    return character;
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at += character.length;
    return true;
  }
}

function shortest(needs: readonly string[]): number {
  return needs.length === 0 ? 0 : Math.min(...needs.map(({ length }) => length));
}

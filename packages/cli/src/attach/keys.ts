/** What a key asks for while no line is typed. */
export type Key =
  "pause" | "resume" | "cancel" | "faster" | "slower" | "level" | "input" | "detach" | "interrupt" | "suspend" | "help";

const keys: Readonly<Record<string, Key>> = {
  p: "pause",
  r: "resume",
  c: "cancel",
  "+": "faster",
  "=": "faster",
  "-": "slower",
  l: "level",
  i: "input",
  q: "detach",
  "\u0003": "interrupt",
  "\u001a": "suspend",
  "?": "help",
};

/** What keys do, for people. */
export const keysHelp =
  "p pause · r resume · c cancel · + - speed · l log level · i input, Ctrl+D ends it · q leave · Ctrl+Z stop for now · ? these keys";

/** What typing leads to. */
export type Typed =
  | { readonly kind: "key"; readonly key: Key }
  /** A line for the job; or what is typed of it so far; undefined: it was given up. */
  | { readonly kind: "line"; readonly text: string }
  | { readonly kind: "typing"; readonly text: string | undefined }
  /** The job's input is to be ended. */
  | { readonly kind: "eof" };

/** Who types a line that nobody asks for has noticed it when so long no key came, milliseconds. */
const deafMs = 1_000;
const escape = "\u001b";
/** Longest line that can be typed, characters. */
const longestLine = 4_096;
/** A sequence of a key that has no letter: arrows and the like. */
const sequence = new RegExp(`^${escape}(?:\\[[0-9;?]{0,16}[ -/]{0,4}[@-~]|O.)`);

/** Makes keys and lines of what a terminal sends in raw mode. */
export class Typing {
  readonly #mayType: () => boolean;
  #line: string | undefined;
  /** Until then letters are what somebody types who has not seen yet that no line is asked for: they steer nothing. */
  #deafUntilMs = -Infinity;

  /** `mayType`: whether a line can be typed at present; else the key for it is one like others. */
  constructor(mayType: () => boolean = () => true) {
    this.#mayType = mayType;
  }

  /** What a piece of what was typed leads to, in order. */
  *take(text: string): Generator<Typed> {
    for (let at = 0; at < text.length;) {
      const skipped = sequence.exec(text.slice(at))?.[0].length ?? 0;
      const char = String.fromCodePoint(text.codePointAt(at) ?? 0);
      at += skipped || char.length;
      if (skipped > 0) continue;
      if (this.#line !== undefined) yield* this.#edit(this.#line, char);
      else yield* this.#press(char);
    }
  }

  *#press(char: string): Generator<Typed> {
    const key = keys[char];
    const nowMs = performance.now();
    if (nowMs < this.#deafUntilMs && key !== "interrupt" && key !== "suspend") {
      this.#deafUntilMs = char === "\r" || char === escape ? -Infinity : nowMs + deafMs;
      return;
    }
    if (key === "input" && this.#mayType()) yield this.#typing("");
    else if (key) yield { kind: "key", key };
    if (key === "input" && this.#line === undefined) this.#deafUntilMs = nowMs + deafMs;
  }

  *#edit(line: string, char: string): Generator<Typed> {
    if (char === "\r" || char === "\n") {
      this.#line = undefined;
      yield { kind: "line", text: line };
    } else if (char === "\u0004" && line === "") {
      this.#line = undefined;
      yield { kind: "eof" };
    } else if (char === "\u001a") yield { kind: "key", key: "suspend" };
    else if (char === escape || char === "\u0003") yield this.#typing(undefined);
    else if (char === "\u007f" || char === "\b") yield this.#typing([...line].slice(0, -1).join(""));
    else if (char >= " " || char === "\t") yield this.#typing((line + char).slice(0, longestLine));
  }

  #typing(text: string | undefined): Typed {
    this.#line = text;
    return { kind: "typing", text };
  }
}

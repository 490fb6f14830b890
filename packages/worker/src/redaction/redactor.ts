import { LiteralAutomaton } from "./literal-automaton.ts";
import { LiteralStream } from "./literal-stream.ts";
import { LineMask } from "./line-mask.ts";
import type { PatternSet } from "./pattern-set.ts";
import { secretForms } from "./secret-forms.ts";

const scratchBytes = 16 * 1024;

/** What a redactor masks. */
export interface RedactorParts {
  /** Secrets, as they are. */
  readonly values: readonly string[];
  /** Undefined: none, and no private keys either. */
  readonly patterns: PatternSet | undefined;
}

/** Masks the secrets that one worker process knows, wherever it is about to say them. */
export class Redactor {
  /** Undefined: there are none. */
  readonly patterns: PatternSet | undefined;
  readonly #forms = new Map<string, Uint8Array>();
  #automaton: LiteralAutomaton | undefined;
  #scratch: Buffer | undefined;

  constructor({ values, patterns }: RedactorParts) {
    this.patterns = patterns;
    this.#learn(values);
  }

  /** Finds the secrets that are known by their text; undefined: there are none. Another one when there is a new secret. */
  get automaton(): LiteralAutomaton | undefined {
    return this.#automaton;
  }

  /** From now on this is masked, too. */
  learn(value: string): void {
    this.#learn([value]);
  }

  /** The text with secrets masked. `masked` is called for each. */
  text(text: string, masked: () => void = () => undefined): string {
    const { patterns } = this;
    const automaton = this.#automaton;
    if (text === "") return text;
    const bytes = this.#encode(text);
    if (!automaton?.isIn(bytes) && !patterns?.mayMatch(bytes)) return text;
    const parts: Buffer[] = [];
    const stream = new LiteralStream({ pass: (part) => parts.push(Buffer.from(part)), masked });
    stream.write(bytes, 0, automaton);
    stream.release();
    const clean = Buffer.concat(parts);
    if (!patterns) return clean.toString();
    const lines = new LineMask(patterns, masked);
    const done: Uint8Array[] = [];
    for (let at = 0; at < clean.length;) {
      const end = clean.indexOf(0x0a, at) + 1 || clean.length;
      const line = clean.subarray(at, end);
      done.push(lines.mask(line) ?? line);
      at = end;
    }
    return Buffer.concat(done).toString();
  }

  #encode(text: string): Buffer {
    if (text.length * 3 > scratchBytes) return Buffer.from(text);
    const scratch = (this.#scratch ??= Buffer.allocUnsafe(scratchBytes));
    return scratch.subarray(0, scratch.write(text, "utf8"));
  }

  #learn(values: readonly string[]): void {
    const before = this.#forms.size;
    for (const form of values.flatMap(secretForms)) this.#forms.set(Buffer.from(form).toString("latin1"), form);
    if (this.#forms.size > before) this.#automaton = new LiteralAutomaton([...this.#forms.values()]);
  }
}

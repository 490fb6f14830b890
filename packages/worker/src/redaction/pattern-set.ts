import { RE2JS } from "re2js";
import { Covered } from "./covered.ts";
import { isLineEnd, MARK, markBytes } from "./mark.ts";
import { requiredLiterals } from "./required-literals.ts";
import { SkipSearch } from "./skip-search.ts";

/** A shape of secrets. Its first group that takes part in a match is masked; without a group, the match is. */
export interface SecretPattern {
  /** For people. */
  readonly name: string;
  /** In the syntax of RE2. */
  readonly pattern: string;
  /** One of these is in every text that matches. Default: what can be read from the pattern. */
  readonly anyOf?: readonly string[];
  /** This character of ASCII is in every text that matches, too, after that. */
  readonly also?: string;
}

interface Compiled {
  /** Compiled when it is needed first: most defaults never are. */
  readonly regex: () => RE2JS;
  readonly also: number | undefined;
}

interface Needle {
  readonly bytes: Buffer;
  /** Index of the pattern that needs it; none for private keys. */
  readonly pattern: number;
}

/** Shorter strings are in every other line, so that looking for them saves nothing. */
const shortestNeedle = 3;
const mark = Buffer.from(MARK);
/** What a private key begins with is looked for together with the patterns. */
const keyNeedle = { bytes: Buffer.from("-----BEGIN "), pattern: -1 };

/**
 * Finds secrets in single lines by their shape. Most lines hold none of the strings of which a pattern needs one, and cost one look at
 * every third byte or so.
 */
export class PatternSet {
  /** Whether private keys are masked, line by line. */
  readonly privateKeys: boolean;
  readonly #patterns: readonly Compiled[];
  /** Of patterns that need no certain string. */
  readonly #always: readonly number[];
  readonly #search: SkipSearch | undefined;
  /** Needles and their patterns, by the first two bytes. */
  readonly #needles = new Map<number, Needle[]>();

  /** With `privateKeys` also the lines of private keys. */
  constructor(patterns: readonly SecretPattern[], { privateKeys }: { privateKeys: boolean }) {
    this.privateKeys = privateKeys;
    const always: number[] = [];
    const needles: Needle[] = privateKeys ? [keyNeedle] : [];
    this.#patterns = patterns.map((pattern, i) => {
      const anyOf = (pattern.anyOf ?? requiredLiterals(pattern.pattern))?.map((text) => Buffer.from(text));
      if (anyOf?.every(({ length }) => length >= shortestNeedle))
        needles.push(...anyOf.map((bytes) => ({ bytes, pattern: i })));
      else always.push(i);
      return lazily(pattern);
    });
    for (const needle of needles) {
      const head = headAt(needle.bytes, 0);
      this.#needles.set(head, [...(this.#needles.get(head) ?? []), needle]);
    }
    this.#always = always;
    this.#search = needles.length > 0 ? new SkipSearch(needles.map(({ bytes }) => bytes)) : undefined;
  }

  /** Whether any pattern may match in any line of these bytes. */
  mayMatch(bytes: Uint8Array): boolean {
    return this.#always.length > 0 || this.#scan(bytes, undefined);
  }

  /** What of a line is secret. Undefined: nothing. */
  find(line: Buffer): Covered | undefined {
    const candidates = new Set(this.#always);
    this.#scan(line, candidates);
    const ranges: [number, number][] = [];
    for (const i of candidates) {
      const pattern = this.#patterns[i];
      if (pattern) collect(pattern.regex(), line, ranges);
    }
    if (ranges.length === 0) return undefined;
    const covered = new Covered();
    for (const [start, end] of ranges.sort((a, b) => a[1] - b[1])) covered.add(start, end);
    return covered;
  }

  /** Adds the patterns that may match to `into`, and returns whether there are any; without `into`, at the first. */
  #scan(bytes: Uint8Array, into: Set<number> | undefined): boolean {
    const search = this.#search;
    if (!search) return false;
    const { length } = bytes;
    let found = false;
    /** A pattern that does not match here, because of what it needs besides. */
    let without = -2;
    for (let at = search.next(bytes, 0); at < length; at = search.next(bytes, at + 1)) {
      const needles = this.#needles.get(headAt(bytes, at));
      if (!needles) continue;
      for (const { bytes: needle, pattern } of needles) {
        if (pattern === without || into?.has(pattern) || !beginsAt(needle, bytes, at)) continue;
        const also = this.#patterns[pattern]?.also;
        if (also !== undefined && bytes.indexOf(also, at) < 0) {
          without = pattern;
          continue;
        }
        if (!into) return true;
        into.add(pattern);
        found = true;
      }
    }
    return found;
  }
}

/** Throws TypeError, with its name, for a pattern that cannot be used. */
export function checkPattern(pattern: SecretPattern): void {
  compile(pattern);
}

/** The line with what is covered masked; line ends are kept. `masked` is called for each mark. */
export function maskRanges(line: Buffer, covered: Covered, masked: () => void): Buffer {
  const parts: Uint8Array[] = [];
  covered.walk(0, line.length, (from, to, isCovered) => {
    if (!isCovered) {
      parts.push(line.subarray(from, to));
      return;
    }
    let isMasking = false;
    for (let at = from; at < to; at++) {
      const keeps = isLineEnd(line[at]);
      if (keeps) parts.push(line.subarray(at, at + 1));
      else if (!isMasking) {
        masked();
        parts.push(markBytes);
      }
      isMasking = !keeps;
    }
  });
  return Buffer.concat(parts);
}

function lazily(pattern: SecretPattern): Compiled {
  let regex: RE2JS | undefined;
  return { regex: () => (regex ??= compile(pattern)), also: pattern.also?.charCodeAt(0) };
}

function compile({ name, pattern }: SecretPattern): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TypeError(`the pattern ${name} for secrets cannot be used: ${reason}`, { cause: error });
  }
}

function collect(regex: RE2JS, line: Buffer, into: [number, number][]): void {
  const matcher = regex.matcher(line);
  const groups = regex.groupCount();
  while (matcher.find()) {
    let group = 1;
    while (group <= groups && matcher.start(group) < 0) group++;
    const start = matcher.start(group <= groups ? group : 0);
    const end = matcher.end(group <= groups ? group : 0);
    // What is masked already is not masked again.
    if (end > start && !mark.equals(line.subarray(start, end))) into.push([start, end]);
  }
}

function headAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function beginsAt(needle: Uint8Array, bytes: Uint8Array, at: number): boolean {
  if (at + needle.length > bytes.length) return false;
  for (let i = 0; i < needle.length; i++) if (bytes[at + i] !== needle[i]) return false;
  return true;
}

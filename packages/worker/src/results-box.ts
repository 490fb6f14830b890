import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** The most that results may have as JSON, bytes. */
const largestResults = 16 * 1024;

/** Keeps what a job has found out so far, newest only, as others may see it: secrets are masked. */
export class ResultsBox {
  readonly #mask: (text: string) => string;
  #text: string | undefined;
  #value: JsonObject | undefined;
  #isNew = false;

  constructor(mask: (text: string) => string) {
    this.#mask = mask;
  }

  /**
   * Takes the place of what was kept before. Costs about as much as writing it as JSON. Throws TypeError unless it is an object,
   * RangeError if it is too long.
   */
  set(results: JsonObject): void {
    if (typeof results !== "object" || results === null || Array.isArray(results))
      throw new TypeError("results are an object: { name: value }");
    const text = JSON.stringify(results);
    if (text === this.#text) return;
    if (!fits(text)) throw tooLong(text);
    this.#text = text;
    this.#isNew = true;
  }

  /** What is kept; the same object as long as nothing else is. Undefined: nothing. */
  get value(): JsonObject | undefined {
    if (this.#isNew && this.#text !== undefined) {
      this.#isNew = false;
      const masked = this.#masked(JSON.parse(this.#text) as JsonObject) as JsonObject;
      // A mask may be longer than what it covers: then what was there before stays.
      if (fits(JSON.stringify(masked))) this.#value = masked;
    }
    return this.#value;
  }

  #masked(value: JsonValue): JsonValue {
    if (typeof value === "string") return this.#mask(value);
    if (Array.isArray(value)) return value.map((each) => this.#masked(each));
    if (typeof value === "object" && value !== null)
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [this.#mask(key), this.#masked(each)]));
    return value;
  }
}

function fits(text: string): boolean {
  return text.length <= largestResults && Buffer.byteLength(text) <= largestResults;
}

function tooLong(text: string): RangeError {
  return new RangeError(`results have at most ${largestResults} bytes as JSON, not ${Buffer.byteLength(text)}`);
}

import { Covered } from "./covered.ts";
import { maskRanges, type PatternSet } from "./pattern-set.ts";
import { PrivateKeyBlock } from "./private-key-block.ts";

/** Masks what has the shape of a secret in the lines of one source, one after the other. */
export class LineMask {
  readonly #patterns: PatternSet;
  readonly #masked: () => void;
  readonly #key = new PrivateKeyBlock();

  /** `masked` is called for each secret. */
  constructor(patterns: PatternSet, masked: () => void) {
    this.#patterns = patterns;
    this.#masked = masked;
  }

  /** The next line is to be masked for those before it, whatever it holds. */
  get isInside(): boolean {
    return this.#key.isOpen;
  }

  /** Whether there may be something to mask in a line that lies in these bytes. */
  mayMatch(bytes: Uint8Array): boolean {
    return this.#patterns.mayMatch(bytes);
  }

  /** The line with its secrets masked; undefined: as it is. */
  mask(line: Buffer): Buffer | undefined {
    const key = this.#patterns.privateKeys ? this.#key.next(line) : undefined;
    if (key) {
      const covered = new Covered();
      covered.add(...key);
      return maskRanges(line, covered, this.#masked);
    }
    const found = this.#patterns.find(line);
    return found && maskRanges(line, found, this.#masked);
  }
}

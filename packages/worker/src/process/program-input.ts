import type { Program } from "./program.ts";

/** After these nothing of a line is left at a terminal: Ctrl-D, line feed, carriage return. */
const lineEnds: ReadonlySet<number> = new Set([4, 10, 13]);

/** The input of a program, into which more than one may write. */
export class ProgramInput {
  readonly #program: Program;
  #open = true;
  #isInLine = false;

  constructor(program: Program) {
    this.#program = program;
    const close = () => {
      this.#open = false;
    };
    // The program has closed its input or has ended; the write that was under way says so itself.
    program.input.on("error", close);
    program.input.once("close", close);
  }

  /**
   * Resolves when the kernel has the bytes, which it has not while the program reads slowly; with false if they are lost, because the
   * input is closed.
   */
  async write(bytes: Uint8Array): Promise<boolean> {
    if (!this.#open) return false;
    const last = bytes.at(-1);
    if (last !== undefined) this.#isInLine = !lineEnds.has(last);
    return new Promise((resolve) => this.#program.input.write(bytes, (error) => resolve(!error)));
  }

  /** Nothing follows, from nobody. */
  end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#program.endInput(this.#isInLine);
  }

  /** The program has ended: whoever waits in `write` waits no longer. */
  destroy(): void {
    this.#open = false;
    this.#program.input.destroy();
  }
}

import type { Program } from "./program.ts";

/** The input of a program, into which more than one may write. */
export class ProgramInput {
  readonly #program: Program;
  #open = true;

  constructor(program: Program) {
    this.#program = program;
    const close = () => {
      this.#open = false;
    };
    // The program has closed its input or has ended; the write that was under way says so itself.
    program.input.on("error", close);
    program.input.once("close", close);
  }

  /** Whether the program still takes input. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Resolves when the kernel has the bytes, which it has not while the program reads slowly. What a closed input is given is dropped. */
  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#open) return;
    await new Promise<void>((resolve) => this.#program.input.write(bytes, () => resolve()));
  }

  /** Nothing follows, from nobody. */
  end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#program.endInput();
  }

  /** The program has ended: whoever waits in `write` waits no longer. */
  destroy(): void {
    this.#open = false;
    this.#program.input.destroy();
  }
}

import type { Job } from "../job.ts";
import { LocalInput } from "./local-input.ts";
import type { LocalTerminal } from "./local-terminal.ts";
import { ProgramInput } from "./program-input.ts";
import type { Program } from "./program.ts";

/** Where the input of a command comes from. */
export interface CommandInputOptions {
  readonly local: LocalTerminal | undefined;
  /** The program has a terminal. */
  readonly tty: boolean;
  /** The room may send some. */
  readonly fromRoom: boolean;
}

/**
 * Feeds a command from the room and from the local input, piece by piece as they come. The input ends
 * - with the local one, unless the room shall be able to go on;
 * - when the room ends it, once a local file or pipe has been read to its end; a local terminal is not waited for.
 */
export class CommandInput {
  readonly #job: Job<unknown>;
  readonly #options: CommandInputOptions;
  readonly #program: ProgramInput;
  readonly #local: LocalInput | undefined;
  #roomHasEnded = false;
  #saidClosed = false;
  /** The command has ended: no wonder that it takes no more. */
  #hasEnded = false;

  constructor(program: Program, job: Job<unknown>, options: CommandInputOptions) {
    this.#job = job;
    this.#options = options;
    this.#program = new ProgramInput(program);
    const { local, tty, fromRoom } = options;
    if (local) {
      this.#local = new LocalInput({
        stdin: local.stdin,
        raw: tty,
        write: (bytes) => this.#program.write(bytes),
        onEnd: () => {
          if (!local.keepInputOpen || this.#roomHasEnded) this.#program.end();
        },
      });
    }
    if (fromRoom) void this.#readRoom();
    else if (!local) this.#program.end();
  }

  /** This process was continued: it may be in the background now. */
  look(): void {
    this.#local?.look();
  }

  /** The command has ended. */
  close(): void {
    this.#hasEnded = true;
    this.#local?.close();
    this.#program.destroy();
  }

  async #readRoom(): Promise<void> {
    try {
      for await (const piece of this.#job.input) {
        if (!(await this.#program.write(piece))) this.#sayClosed();
      }
    } catch {
      // The job is ending.
      return;
    }
    this.#roomHasEnded = true;
    const { local } = this.#options;
    if (!local || local.stdin.isTTY || this.#local?.hasEnded) this.#program.end();
  }

  #sayClosed(): void {
    if (this.#saidClosed || this.#hasEnded) return;
    this.#saidClosed = true;
    const cause = this.#local?.hasEnded
      ? "it has ended with the local one (signalbox run --keep-input-open keeps it open)"
      : "the command has closed it";
    this.#job.log.warn(`Input has come and is dropped: the command's input is closed, for ${cause}.`);
  }
}

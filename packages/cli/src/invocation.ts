import { CliError, exitCodes } from "./exit-codes.ts";
import { Output, type OutputOptions } from "./output.ts";
import type { Room } from "./room.ts";

/** Options that every verb has. */
export interface CommonOptions extends OutputOptions {
  readonly url?: string | undefined;
}

/** Ctrl+C or SIGTERM. The message says what is true now; may be empty. */
export class Interrupted extends CliError {}

/** One run of the command: its options, its output, the way to the server, and the end that signals ask for. */
export class Invocation {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly options: CommonOptions;
  readonly out: Output;
  readonly #abort = new AbortController();
  #room: Promise<Room> | undefined;

  constructor(options: CommonOptions, env: Readonly<Record<string, string | undefined>> = process.env) {
    this.options = options;
    this.env = env;
    this.out = new Output(options, env);
  }

  /** What to say when the run is interrupted: what stands, what goes on. */
  interruptedNote = "";

  /**
   * The verb ends by itself when the signal aborts, having taken back what it can, and says how it went; a second signal ends it at once.
   * Else it is left where it is.
   */
  endsItself = false;

  /** Aborts with Interrupted. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The server; connects at the first use. */
  room(): Promise<Room> {
    this.#room ??= (async () => {
      const [{ findAddress }, { openRoom }] = await Promise.all([import("./address.ts"), import("./room.ts")]);
      return openRoom(await findAddress(this.options.url, this.env));
    })();
    return this.#room;
  }

  /**
   * Runs a verb to its end, or until a signal ends it. Resolves with the exit code. Throws what the verb throws, and Interrupted. A verb
   * that deals with signals itself is run without this.
   */
  async interruptible(run: () => Promise<number>): Promise<number> {
    const { promise: interrupted, reject } = Promise.withResolvers<never>();
    const interrupt = (code: number) => () => {
      const isFirst = !this.signal.aborted;
      this.#abort.abort(new Interrupted(code, this.interruptedNote));
      if (!isFirst || !this.endsItself) reject(this.signal.reason as Error);
    };
    const onInterrupt = interrupt(exitCodes.interrupted);
    const onTerminate = interrupt(exitCodes.terminated);
    process.on("SIGINT", onInterrupt).on("SIGTERM", onTerminate);
    try {
      return await Promise.race([run(), interrupted]);
    } finally {
      process.off("SIGINT", onInterrupt).off("SIGTERM", onTerminate);
    }
  }

  /** Closes the way to the server, if it was opened. */
  async close(): Promise<void> {
    this.out.status(undefined);
    const room = await this.#room?.catch(() => undefined);
    room?.close();
  }
}

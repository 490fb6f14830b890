import { once } from "node:events";
import { styleText } from "node:util";
import { exitCodes } from "./exit-codes.ts";
import { sanitise } from "./sanitise.ts";

/** A colour, or several. */
export type Style = Parameters<typeof styleText>[0];

/** What the command line asks of the output. */
export interface OutputOptions {
  readonly json?: boolean | undefined;
  readonly quiet?: boolean | undefined;
  readonly verbose?: boolean | undefined;
  /** Default: auto. */
  readonly color?: "auto" | "always" | "never" | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Standard output takes no more: nobody reads it any more, or it cannot be written, which has been said. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";

  /** What the process ends with. */
  get exitCode(): number {
    const { cause } = this;
    return cause instanceof Error && "code" in cause && cause.code !== "EPIPE"
      ? exitCodes.failed
      : exitCodes.outputClosed;
  }
}

/**
 * Standard output and standard error of one run. What people or programs asked for goes to standard output; notes, progress and errors
 * go to standard error. Colours only where a terminal is, unless told otherwise.
 */
export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** Whether standard output may have colours. */
  readonly color: boolean;
  readonly #errorColor: boolean;
  #closed: OutputClosed | undefined;
  #status = false;

  constructor(options: OutputOptions, env: Env = process.env) {
    this.json = options.json ?? false;
    this.quiet = options.quiet ?? false;
    this.verbose = options.verbose ?? false;
    this.color = wantsColor(options.color, env, process.stdout.isTTY);
    this.#errorColor = wantsColor(options.color, env, process.stderr.isTTY);
  }

  /** Whether standard output is a terminal. */
  get isTerminal(): boolean {
    return process.stdout.isTTY;
  }

  /** Columns of the terminal; undefined where there is none and lines may be of any length. */
  get columns(): number | undefined {
    return process.stdout.isTTY ? process.stdout.columns || 80 : undefined;
  }

  /** Rows of the terminal. */
  get rows(): number {
    return process.stdout.rows || 24;
  }

  /** Writes to standard output as it is, and waits while its reader is slow. Throws OutputClosed. */
  async write(text: string | Uint8Array): Promise<void> {
    this.#watchForClose();
    if (this.#closed) throw this.#closed;
    this.status(undefined);
    if (process.stdout.write(text)) return;
    await once(process.stdout, "drain").catch(() => undefined);
    const closed = this.#closed as OutputClosed | undefined;
    if (closed) throw closed;
  }

  /** Writes a line. */
  line(text: string): Promise<void> {
    return this.write(`${text}\n`);
  }

  /** Writes an object as one line of JSON, with every control character escaped. */
  object(value: unknown): Promise<void> {
    return this.line(jsonText(value));
  }

  /** Says something beside the output: to standard error, unless quiet. */
  note(text: string): void {
    if (this.quiet) return;
    this.status(undefined);
    process.stderr.write(`${text}\n`);
  }

  /** Says what went wrong, to standard error. */
  error(text: string): void {
    this.status(undefined);
    process.stderr.write(
      `${this.#errorColor ? styleText("red", "signalbox:", { validateStream: false }) : "signalbox:"} ${text}\n`,
    );
  }

  /** Shows on a line of its own what takes long, in place of what it showed before; undefined removes it. Only on a terminal. */
  status(text: string | undefined): void {
    if (!process.stderr.isTTY || this.quiet || (text === undefined && !this.#status)) return;
    const columns = process.stderr.columns || 80;
    process.stderr.write(`\r\u001b[K${sanitise(text ?? "").slice(0, columns - 1)}`);
    this.#status = text !== undefined;
  }

  /** Text in a style, where standard output may have colours. */
  paint(style: Style, text: string): string {
    return this.color && text ? styleText(style, text, { validateStream: false }) : text;
  }

  #watchForClose(): void {
    if (process.stdout.listenerCount("error") > 0) return;
    process.stdout.on("error", (error: NodeJS.ErrnoException) => {
      this.#closed = new OutputClosed(error.message, { cause: error });
      // Who waits for room must not wait for ever.
      process.stdout.emit("drain");
      if (error.code !== "EPIPE") this.error(`standard output cannot be written: ${error.message}`);
    });
  }
}

/** JSON on one line that is harmless in a terminal: the same value, with controls escaped that JSON itself would leave. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Whether a stream gets colours: --color decides, then NO_COLOR, then FORCE_COLOR, then whether it is a terminal. */
export function wantsColor(option: OutputOptions["color"], env: Env, isTerminal: boolean): boolean {
  if (option === "always") return true;
  if (option === "never" || env.NO_COLOR) return false;
  if (env.FORCE_COLOR !== undefined) return !["0", "false"].includes(env.FORCE_COLOR);
  return isTerminal && env.TERM !== "dumb";
}

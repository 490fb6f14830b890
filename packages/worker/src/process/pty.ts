import { createRequire } from "node:module";
import { ReadStream } from "node:tty";
import { CannotStart, findCommand } from "./find-command.ts";
import { endBySignal, type Program, type ProgramExit, type ProgramOptions } from "./program.ts";

/** A terminal's size, in characters. */
export interface WindowSize {
  readonly columns: number;
  readonly rows: number;
}

/** What the binary of node-pty offers, as far as it is used here. */
interface PtyBinary {
  fork(
    file: string,
    args: readonly string[],
    env: readonly string[],
    cwd: string,
    columns: number,
    rows: number,
    uid: number,
    gid: number,
    utf8: boolean,
    helperPath: string,
    onExit: (code: number, signal: number) => void,
  ): { readonly fd: number; readonly pid: number };
  resize(fd: number, columns: number, rows: number): void;
}

/** Ctrl-D: a terminal takes it for the end of input at the beginning of a line; within one it hands over what has been typed. */
const endOfInput = Uint8Array.of(4);
const endOfLineAndInput = Uint8Array.of(4, 4);

/**
 * Starts a program on a terminal of its own (a pty): it prints to one stream, with CRLF at the ends of lines, as it would for a person.
 * Rejects with CannotStart, also where terminals are not available.
 *
 * Of node-pty only the binary is used. Its JavaScript closes the terminal 200 ms after the program's end, read or not, and what a slow
 * reader had not taken by then would be lost.
 */
export async function startOnTerminal(options: ProgramOptions, size: WindowSize): Promise<Program> {
  const { command, cwd, env } = options;
  const [name = "", ...args] = command;
  const file = findCommand(name, cwd, env);
  const { binary, helperPath } = loadBinary();
  let resolveExit: (exit: ProgramExit) => void = () => undefined;
  const exited = new Promise<ProgramExit>((resolve) => {
    resolveExit = resolve;
  });
  const { fd, pid } = binary.fork(
    file,
    args,
    Object.entries(env).map(([key, value]) => `${key}=${value}`),
    // Empty: where this process is.
    cwd ?? "",
    size.columns,
    size.rows,
    // The same user and group.
    -1,
    -1,
    true,
    helperPath,
    (code, signal) => resolveExit(signal > 0 ? endBySignal(signal) : { code }),
  );
  const terminal = new ReadStream(fd);
  return {
    pid,
    outputs: [{ source: "stdout", stream: terminal }],
    input: terminal,
    endInput: (isInLine) => void terminal.write(isInLine ? endOfLineAndInput : endOfInput),
    exited,
    resize: ({ columns, rows }) => {
      if (columns > 0 && rows > 0 && !terminal.destroyed) binary.resize(fd, columns, rows);
    },
  };
}

function loadBinary(): { binary: PtyBinary; helperPath: string } {
  const require = createRequire(import.meta.url);
  try {
    const { requireBinary } = require("@lydell/node-pty/requireBinary.js") as {
      requireBinary: (file: string) => PtyBinary;
    };
    const binary = requireBinary("pty.node");
    // Only macOS starts programs through a helper.
    const helper = `@lydell/node-pty-${process.platform}-${process.arch}/spawn-helper`;
    return { binary, helperPath: process.platform === "darwin" ? require.resolve(helper) : "" };
  } catch (error) {
    throw new CannotStart(
      126,
      `no terminal for the command: the optional package @lydell/node-pty is not installed for ${process.platform}-${process.arch}. ` +
        "Install it, or run the command without --tty.",
      { cause: error },
    );
  }
}

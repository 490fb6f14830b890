import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { CannotStart, findCommand } from "./find-command.ts";
import { closeAll, makePipes, type PipeEnds } from "./real-pipes.ts";

/** What to start. */
export interface ProgramOptions {
  /** The program and its arguments; no shell sees them. */
  readonly command: readonly string[];
  /** Absolute. Undefined: where this process is, also if that folder was removed. */
  readonly cwd: string | undefined;
  readonly env: Readonly<Record<string, string>>;
}

/** How a program ended: by itself, or by a signal, whose name is `signal 40` where the system has none. */
export type ProgramExit = { readonly code: number } | { readonly signal: string; readonly number: number };

/** A running program, leader of a session and a process group of its own. */
export interface Program {
  readonly pid: number;
  readonly outputs: readonly ProgramOutput[];
  /** Its input. May fail with EPIPE, when the program has closed it. */
  readonly input: Writable;
  /** Says that no input follows. `isInLine`: what was written last did not end its line. */
  readonly endInput: (isInLine: boolean) => void;
  readonly exited: Promise<ProgramExit>;
  /** Tells a program with a terminal that the window has another size. */
  readonly resize?: (size: { readonly columns: number; readonly rows: number }) => void;
}

/** One stream that a program prints to. Ends when all processes that hold it have closed it. */
export interface ProgramOutput {
  readonly source: "stdout" | "stderr";
  readonly stream: Readable;
}

/** Starts a program on pipes. Rejects with CannotStart. */
export async function startProgram({ command, cwd, env }: ProgramOptions): Promise<Program> {
  const [name = "", ...args] = command;
  const file = findCommand(name, cwd, env);
  const pipes = makePipes();
  try {
    // Under the name as it was given: programs look at it.
    const child = spawn(file, args, {
      argv0: name,
      cwd,
      env: { ...env },
      detached: true,
      stdio: pipes ? [...pipes.theirs] : "pipe",
    });
    const exited = exitOf(child);
    await once(child, "spawn");
    const { stdin, stdout, stderr } = pipes ? streamsOf(pipes) : child;
    if (!stdin || !stdout || !stderr || child.pid === undefined) throw new Error("it has no pipes");
    return {
      pid: child.pid,
      outputs: [
        { source: "stdout", stream: stdout },
        { source: "stderr", stream: stderr },
      ],
      input: stdin,
      endInput: () => void stdin.end(),
      exited,
    };
  } catch (error) {
    if (pipes) closeAll(pipes.ours);
    throw new CannotStart(126, `cannot run ${name}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    if (pipes) closeAll(pipes.theirs);
  }
}

/** The end of a program by a signal, from its number. */
export function endBySignal(number: number): ProgramExit {
  const found = Object.entries(constants.signals).find(([, each]) => each === number);
  return { signal: found?.[0] ?? `signal ${number}`, number };
}

function exitOf(child: ChildProcess): Promise<ProgramExit> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) =>
      resolve(signal ? endBySignal(constants.signals[signal]) : { code: code ?? 0 }),
    );
  });
}

function streamsOf({ ours: [input, output, errors] }: PipeEnds) {
  return {
    stdin: new Socket({ fd: input, readable: false, writable: true }),
    stdout: new Socket({ fd: output, readable: true, writable: false }),
    stderr: new Socket({ fd: errors, readable: true, writable: false }),
  };
}

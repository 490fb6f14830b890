import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { CannotStart, findCommand } from "./find-command.ts";
import { closeAll, makePipes, type PipeEnds } from "./real-pipes.ts";

/** What to start. */
export interface ProgramOptions {
  /** The program and its arguments; no shell sees them. */
  readonly command: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** How a program ended: by itself, or by a signal. */
export type ProgramExit = { readonly code: number } | { readonly signal: NodeJS.Signals };

/** A running program, leader of a session and a process group of its own. */
export interface Program {
  readonly pid: number;
  readonly outputs: readonly ProgramOutput[];
  /** Its input. May fail with EPIPE, when the program has closed it. */
  readonly input: Writable;
  /** Says that no input follows. */
  readonly endInput: () => void;
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

function exitOf(child: ChildProcess): Promise<ProgramExit> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ? { signal } : { code: code ?? 0 }));
  });
}

function streamsOf({ ours: [input, output, errors] }: PipeEnds) {
  return {
    stdin: new Socket({ fd: input, readable: false, writable: true }),
    stdout: new Socket({ fd: output, readable: true, writable: false }),
    stderr: new Socket({ fd: errors, readable: true, writable: false }),
  };
}

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
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
  const pipes = await makePipes();
  try {
    // Under the name as it was given: programs look at it.
    const child = spawn(file, args, {
      argv0: name,
      cwd,
      env: { ...env },
      detached: true,
      stdio: pipes ? [...pipes.theirs] : "pipe",
    });
    const witness = new EndWitness(child);
    const exited = exitOf(child, witness);
    await once(child, "spawn");
    const { stdin, stdout, stderr } = pipes ? streamsOf(pipes) : child;
    if (!stdin || !stdout || !stderr || child.pid === undefined) throw new Error("it has no pipes");
    for (const output of [stdout, stderr]) output.once("end", () => witness.look());
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
    throw new CannotStart(126, `cannot run ${name}: ${whyNot(error)}`);
  } finally {
    if (pipes) closeAll(pipes.theirs);
  }
}

/** Why a file that is there and executable was not started. */
function whyNot(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isMissing = "code" in error && error.code === "ENOENT";
  return isMissing ? "the interpreter that its first line names (#!), or its loader, is missing" : error.message;
}

/** The end of a program by a signal, from its number. */
export function endBySignal(number: number): ProgramExit {
  const found = Object.entries(constants.signals).find(([, each]) => each === number);
  return { signal: found?.[0] ?? `signal ${number}`, number };
}

function exitOf(child: ChildProcess, witness: EndWitness): Promise<ProgramExit> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => {
      const number = signal ? constants.signals[signal] : witness.signal;
      resolve(number > 0 ? endBySignal(number) : { code: code ?? 0 });
    });
  });
}

/** How long a program takes to be gone that has closed its outputs by ending, milliseconds. */
const goneWithinMs = 5;

/**
 * Sees in Linux's list of processes by which signal a program has ended: of signals without a name, such as the real-time ones, Node says
 * that the program has ended with exit code 0. Its entry is there until Node has taken the end, which it does after this event.
 */
class EndWitness {
  /** 0: none, as far as was seen. */
  signal = 0;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** An output has ended: the program may have. */
  look(): void {
    const { pid, exitCode, signalCode } = this.#child;
    if (process.platform !== "linux" || pid === undefined || exitCode !== null || signalCode !== null) return;
    for (const until = performance.now() + goneWithinMs; performance.now() < until;) {
      let stat: string;
      try {
        stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      } catch {
        return;
      }
      const fields = stat
        .slice(stat.lastIndexOf(")") + 2)
        .trimEnd()
        .split(" ");
      if (fields[0] !== "Z") continue;
      this.signal = Number(fields.at(-1)) & 0x7f;
      return;
    }
  }
}

function streamsOf({ ours: [input, output, errors] }: PipeEnds) {
  return {
    stdin: new Socket({ fd: input, readable: false, writable: true }),
    stdout: new Socket({ fd: output, readable: true, writable: false }),
    stderr: new Socket({ fd: errors, readable: true, writable: false }),
  };
}

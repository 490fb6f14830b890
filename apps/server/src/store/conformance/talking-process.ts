import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A child process that says things, line by line. Disposing kills it. */
export interface TalkingProcess extends AsyncDisposable {
  readonly process: ChildProcess;
  /** What it says, until it is gone. */
  readonly lines: AsyncIterable<string>;
  /** The next line. Throws if the process is gone. */
  said(): Promise<string>;
  /** Writes a line to its input. */
  tell(line: string): void;
  readonly exited: Promise<unknown>;
}

/** Starts a program whose output is read line by line; its errors go to the test's own. */
export function startTalking(command: string, args: readonly string[]): TalkingProcess {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]() as AsyncIterator<string, void>;
  return {
    process: child,
    lines: { [Symbol.asyncIterator]: () => lines },
    async said() {
      const line = await lines.next();
      if (line.done) throw new Error(`the process ended: ${child.exitCode ?? child.signalCode}`);
      return line.value;
    },
    tell: (line) => void child.stdin.write(`${line}\n`),
    exited,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

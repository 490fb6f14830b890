import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

/** A program of this repository that a test runs, with what it printed so far. */
export interface Program {
  readonly process: ChildProcess;
  readonly output: () => string;
  /** Resolves with the first match of `pattern` in the output. Rejects if the program ends before. */
  readonly printed: (pattern: RegExp) => Promise<RegExpExecArray>;
  /** Sends a signal and, unless it only stops or continues the process, resolves when it has ended. */
  readonly kill: (signal: NodeJS.Signals) => Promise<void>;
}

/** Starts a TypeScript program, given from the repository's root. */
export function runProgram(path: string, env: Record<string, string>, args: readonly string[] = []): Program {
  return runCommand(process.execPath, [fileURLToPath(new URL(`../${path}`, import.meta.url)), ...args], env);
}

/** Starts any program, in this process's folder. */
export function runCommand(command: string, args: readonly string[], env: Record<string, string>): Program {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const waiting = new Set<() => void>();
  const notify = () => waiting.forEach((check) => check());
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      notify();
    });
  }
  child.once("exit", notify);
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  return {
    process: child,
    output: () => output,
    printed: (pattern) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const match = pattern.exec(output);
          if (!match && !ended()) return;
          waiting.delete(check);
          if (match) resolve(match);
          else
            reject(new Error(`${[command, ...args].join(" ")} ended before it printed ${String(pattern)}:\n${output}`));
        };
        waiting.add(check);
        check();
      }),
    async kill(signal) {
      if (ended()) return;
      const exit = signal === "SIGSTOP" || signal === "SIGCONT" ? undefined : once(child, "exit");
      child.kill(signal);
      await exit;
    },
  };
}

/** Ports that are free at the moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

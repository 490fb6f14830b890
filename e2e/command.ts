import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Signalbox } from "./fixtures.ts";

/** How a run of the `signalbox` command ended. */
export interface CommandRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output, line by line, as JSON. */
  readonly json: Record<string, unknown>[];
}

export const root = fileURLToPath(new URL("..", import.meta.url));
export const launcher = join(root, "signalbox");

/** The environment in which the command speaks to a server of a test and touches nothing of this user. */
export function commandEnv(signalbox: Signalbox): Record<string, string> {
  const { PATH = "", LANG = "C.UTF-8" } = process.env;
  return {
    PATH,
    LANG,
    TZ: "UTC",
    TERM: "xterm-256color",
    HOME: signalbox.folder,
    XDG_CONFIG_HOME: join(signalbox.folder, "config"),
    // Compiled code may be shared between tests: it makes them fast.
    XDG_CACHE_HOME: join(root, "node_modules", ".cache"),
    SIGNALBOX_DATA: join(signalbox.folder, "data"),
  };
}

/** A run of the command that has not ended. */
export interface RunningCommand {
  readonly child: ChildProcessWithoutNullStreams;
  /** What it has printed so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly ended: Promise<CommandRun>;
}

/** Starts the command of this clone beside a server of a test; its standard input stays open. */
export function begin(signalbox: Signalbox, args: readonly string[], env: Record<string, string> = {}): RunningCommand {
  const child = spawn(launcher, args, { env: { ...commandEnv(signalbox), ...env }, cwd: signalbox.folder });
  child.stdin.on("error", () => undefined);
  const printed: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
  for (const name of ["stdout", "stderr"] as const)
    child[name].on("data", (part: Buffer) => void printed[name].push(part));
  // Numbers stand before a no-break space; tests are written with a space.
  const text = (name: "stdout" | "stderr") => Buffer.concat(printed[name]).toString().replaceAll("\u00a0", " ");
  const ended = new Promise<CommandRun>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) =>
      resolve({
        code: code ?? -1,
        stdout: text("stdout"),
        stderr: text("stderr"),
        get json() {
          const lines = text("stdout").split("\n").filter(Boolean);
          return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
        },
      }),
    );
  });
  return { child, stdout: () => text("stdout"), stderr: () => text("stderr"), ended };
}

/** Runs the command of this clone to its end. */
export function command(
  signalbox: Signalbox,
  args: readonly string[],
  { stdin = "", env = {} }: { stdin?: string | Uint8Array; env?: Record<string, string> } = {},
): Promise<CommandRun> {
  const running = begin(signalbox, args, env);
  running.child.stdin.end(stdin);
  return running.ended;
}

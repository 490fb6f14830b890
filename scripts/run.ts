import { spawn } from "node:child_process";
import { once } from "node:events";

/** How a command ended. */
export interface Outcome {
  readonly ok: boolean;
  readonly seconds: number;
}

/** Runs a program of the workspace or the system in the repository's root, its output passed through, and says how it ended. */
export async function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Outcome> {
  const startedAt = performance.now();
  const child = spawn(program, args, {
    cwd: new URL("..", import.meta.url),
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, ...env },
  });
  let code: number | null = null;
  try {
    [code] = (await once(child, "exit")) as [number | null];
  } catch (error) {
    console.error(`${program} could not be started: ${error instanceof Error ? error.message : String(error)}`);
  }
  return { ok: code === 0, seconds: (performance.now() - startedAt) / 1000 };
}

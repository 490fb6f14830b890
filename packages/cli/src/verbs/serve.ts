import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { CliError, exitCodes } from "../exit-codes.ts";

/**
 * Starts the server with the given options: this process becomes it, so that whoever ends this process, by whatever signal, ends the server.
 * Where a process cannot become another one, a child is the server, and this process ends as it ends.
 */
export async function serve(args: readonly string[]): Promise<number> {
  // Node 22 says of its SQLite at every start that it is experimental.
  const command = ["--disable-warning=ExperimentalWarning", findServer(), ...args];
  if (process.platform !== "win32") process.execve?.(process.execPath, [process.execPath, ...command], process.env);
  const child = spawn(process.execPath, command, { stdio: "inherit" });
  // The terminal has sent Ctrl+C to both already; the server takes the second one for the same.
  const passOn = (signal: NodeJS.Signals) => child.kill(signal);
  process.on("SIGINT", passOn).on("SIGTERM", passOn).on("SIGHUP", passOn);
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  return code ?? 128 + (signal ? constants.signals[signal] : 0);
}

/** The server's program. The server is an optional dependency: whoever only runs and steers jobs can do without it. */
function findServer(): string {
  try {
    return fileURLToPath(import.meta.resolve("@signalbox/server/main"));
  } catch (error) {
    throw new CliError(
      exitCodes.failed,
      "No server started: the package @signalbox/server is not installed.",
      "Install it with: npm install @signalbox/server",
      { cause: error },
    );
  }
}

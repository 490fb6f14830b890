import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { CliError, exitCodes } from "../exit-codes.ts";

/** Starts the server of this clone with the given options, and ends as it ends. */
export async function serve(args: readonly string[]): Promise<number> {
  const server = fileURLToPath(new URL("../../../../apps/server/src/main.ts", import.meta.url));
  if (!existsSync(server))
    throw new CliError(
      exitCodes.failed,
      "No server started: this installation has none.",
      "It comes with a clone of Signalbox: run signalbox serve there.",
    );
  const child = spawn(process.execPath, [server, ...args], { stdio: "inherit" });
  // The terminal has sent Ctrl+C to both already; the server takes the second one for the same.
  const passOn = (signal: NodeJS.Signals) => child.kill(signal);
  process.on("SIGINT", passOn).on("SIGTERM", passOn).on("SIGHUP", passOn);
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  return code ?? 128 + (signal ? constants.signals[signal] : 0);
}

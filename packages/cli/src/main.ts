import { readFileSync } from "node:fs";
import { CommanderError } from "commander";
import { CliError, exitCodes } from "./exit-codes.ts";
import { Output, OutputClosed } from "./output.ts";
import { createProgram, parserExitCode } from "./program.ts";
import { sanitise } from "./sanitise.ts";

// The process of the command: runs the verb that is asked for, says what went wrong, and ends with the code that tells it.

process.on("uncaughtException", (error) => finish(report(error)));
process.on("unhandledRejection", (error) => finish(report(error)));

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};
const run = { exitCode: exitCodes.ok as number };
try {
  await createProgram(version, run).parseAsync(process.argv);
  finish(run.exitCode);
} catch (error) {
  finish(report(error));
}

/** Says what went wrong, in one or two lines, and returns the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return parserExitCode(error);
  if (error instanceof OutputClosed) return error.exitCode;
  const verbose = process.argv.includes("--verbose");
  const out = new Output({});
  if (!(error instanceof CliError)) {
    out.error(`something unexpected happened: ${error instanceof Error ? error.message : String(error)}`);
    process.stderr.write(`${verbose && error instanceof Error ? (error.stack ?? "") : "--verbose says where."}\n`);
    return exitCodes.failed;
  }
  if (error.message) out.error(sanitise(error.message));
  if (error.hint)
    process.stderr.write(
      `${error.hint
        .split("\n")
        .map((line) => sanitise(line))
        .join("\n")}\n`,
    );
  if (verbose)
    for (let cause = error.cause; cause instanceof Error; cause = cause.cause)
      process.stderr.write(`${sanitise(cause.stack ?? cause.message).replaceAll("␊", "\n")}\n`);
  return error.exitCode;
}

/** Ends when what was written has gone out: connections and timers that are still there must not hold the process. */
function finish(code: number): void {
  process.exitCode = code;
  const exit = () => process.exit(code);
  if (process.stdout.writableLength === 0 || process.stdout.destroyed) exit();
  else process.stdout.once("drain", exit).once("error", exit).once("close", exit);
}

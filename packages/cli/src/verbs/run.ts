import { CannotStart, runCommand, UnsupportedPlatform } from "@signalbox/worker/process";
import type { SpoolOptions, WhenFull } from "@signalbox/worker";
import { findAddress } from "../address.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { checkDescription, parseLabels } from "../labels.ts";
import { sanitise } from "../sanitise.ts";

export interface RunOptions {
  readonly name?: string;
  readonly label?: string[];
  readonly tty?: boolean;
  readonly progress: boolean;
  /** Milliseconds. */
  readonly grace?: number;
  readonly leave?: boolean;
  readonly keepInputOpen?: boolean;
  /** False: output is kept in memory only. */
  readonly spool: boolean;
  readonly spoolDir?: string;
  /** Bytes. */
  readonly spoolSize?: number;
  readonly spoolFull?: WhenFull;
  readonly redact: boolean;
  readonly redactDefaults: boolean;
  readonly redactEnv?: string[];
  readonly redactExcept?: string[];
  readonly redactPattern?: string[];
}

/** What is not said is left to the environment. */
function spoolOptions({ spool, spoolDir, spoolSize, spoolFull }: RunOptions): { spool?: SpoolOptions | false } {
  if (!spool) return { spool: false };
  if (spoolDir === undefined && spoolSize === undefined && spoolFull === undefined) return {};
  return {
    spool: {
      ...(spoolDir === undefined ? {} : { folder: spoolDir }),
      ...(spoolSize === undefined ? {} : { bytes: spoolSize }),
      ...(spoolFull === undefined ? {} : { whenFull: spoolFull }),
    },
  };
}

/** Runs a program here and as a job in the room. Resolves with its exit code; deals with signals itself. */
export async function run(
  { out, options: common, env }: Invocation,
  command: string[],
  options: RunOptions,
): Promise<number> {
  const labels = parseLabels(options.label ?? []);
  checkDescription(options.name ?? "", labels);
  const { urls, isLocal, storedToken, tokenFrom } = await findAddress(common.url, env);
  const { name, tty, progress, grace, leave, keepInputOpen } = options;
  try {
    const { exitCode } = await runCommand({
      command,
      ...(isLocal ? {} : { url: urls }),
      progress,
      labels,
      ...(storedToken === undefined ? {} : { token: storedToken, tokenFrom }),
      ...(name === undefined ? {} : { name }),
      ...(tty === undefined ? {} : { tty }),
      ...(grace === undefined ? {} : { graceSeconds: grace / 1000 }),
      ...(leave === undefined ? {} : { leave }),
      ...(keepInputOpen === undefined ? {} : { keepInputOpen }),
      ...spoolOptions(options),
      redact: {
        // What is not said here is left to the environment.
        ...(options.redact ? {} : { off: true }),
        ...(options.redactDefaults ? {} : { defaultPatterns: false }),
        environment: options.redactEnv ?? [],
        except: options.redactExcept ?? [],
        patterns: options.redactPattern ?? [],
      },
      onNotice: (message) => out.error(sanitise(message)),
      onLink: (sentence) => out.note(`signalbox: ${sanitise(sentence)}`),
      onCancel: (sentence) => out.note(`signalbox: ${sanitise(sentence)}`),
      onJobId: (id) => {
        if (process.stderr.isTTY) out.note(`signalbox: job ${id}`);
      },
    });
    return exitCode;
  } catch (error) {
    if (error instanceof CannotStart || error instanceof UnsupportedPlatform || error instanceof TypeError)
      throw new CliError(exitCodes.failed, `Not run: ${error.message}`, "", { cause: error });
    throw error;
  }
}

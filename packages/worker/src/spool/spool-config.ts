import { join, resolve } from "node:path";
import { dataFolder } from "../config.ts";
import { isSwitchOn } from "../switch.ts";

/** What becomes of lines when the spool is full. */
export type WhenFull = "wait" | "drop-oldest-debug" | "drop-oldest";

/** Where lines are kept on this machine until the server has them. What is left out comes from the environment. */
export interface SpoolOptions {
  /** The folder. Default: SIGNALBOX_SPOOL_DIR, else `spool` in the data folder SIGNALBOX_DATA (~/.signalbox). */
  readonly folder?: string;
  /** How much it may hold of this worker, bytes; at least 1 MiB. Default: SIGNALBOX_SPOOL_BYTES (as `500M`, `2G`), else 1 GiB. */
  readonly bytes?: number;
  /**
   * When it is full jobs wait, or the oldest lines of the levels DEBUG and TRACE are dropped (and jobs wait when there are none), or the
   * oldest lines of all. What is dropped is declared as a gap. Default: SIGNALBOX_SPOOL_FULL, else `wait`.
   */
  readonly whenFull?: WhenFull;
}

/** Everything that {@link SpoolOptions} leave open, decided. */
export type SpoolConfig = Required<SpoolOptions>;

/** What a worker's spool holds unless told otherwise, bytes. */
export const DEFAULT_SPOOL_BYTES = 1024 * 1024 * 1024;
const leastBytes = 1024 * 1024;
const policies: readonly string[] = ["wait", "drop-oldest-debug", "drop-oldest"] satisfies WhenFull[];

type Env = Readonly<Record<string, string | undefined>>;

/** Decides what the options leave open; undefined: there is no spool (`false`, or SIGNALBOX_SPOOL=off). Throws TypeError. */
export function readSpoolConfig(
  options: SpoolOptions | false | undefined,
  env: Env = process.env,
): SpoolConfig | undefined {
  if (options === false || (options === undefined && !isSwitchOn(env, "SIGNALBOX_SPOOL"))) return undefined;
  const bytes = options?.bytes ?? (env.SIGNALBOX_SPOOL_BYTES ? parseBytes(env.SIGNALBOX_SPOOL_BYTES) : undefined);
  const whenFull = options?.whenFull ?? (env.SIGNALBOX_SPOOL_FULL || "wait");
  if (bytes !== undefined) checkBytes(bytes, `${bytes} bytes`);
  if (!policies.includes(whenFull))
    throw new TypeError(`when the spool is full: one of ${policies.join(", ")}, not ${JSON.stringify(whenFull)}`);
  return {
    folder: options?.folder === undefined ? spoolFolder(env) : resolve(options.folder),
    bytes: bytes ?? DEFAULT_SPOOL_BYTES,
    whenFull: whenFull as WhenFull,
  };
}

/** The folder of spools: SIGNALBOX_SPOOL_DIR, or `spool` in the data folder. */
export function spoolFolder(env: Env = process.env): string {
  return resolve(env.SIGNALBOX_SPOOL_DIR || join(dataFolder(env), "spool"));
}

/** Reads how much a spool may hold: `1048576`, `500M`, `2G`, `1.5GiB`. Units are powers of 1,024. Throws TypeError. */
export function parseBytes(text: string): number {
  const match = /^(\d{1,15}(?:\.\d{1,3})?) ?([kmgt]?)(?:i?b)?$/i.exec(text.trim());
  if (!match) throw new TypeError(`${JSON.stringify(text)} is no number of bytes: write 500M or 2G`);
  const bytes = Math.floor(Number(match[1]) * 1024 ** " kmgt".indexOf((match[2] || " ").toLowerCase()));
  checkBytes(bytes, text.trim());
  return bytes;
}

function checkBytes(bytes: number, said: string): void {
  if (bytes < leastBytes) throw new TypeError(`a spool of ${said} is too small: it must hold at least 1M`);
  if (!Number.isSafeInteger(bytes))
    throw new TypeError(`a spool of ${said} cannot be: give a whole number of bytes, at most 8000T`);
}

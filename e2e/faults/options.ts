import { parseArgs } from "node:util";
import { partNames, wholeLong, type LongOptions } from "./long.ts";

/** What the fault runner was asked for. */
export interface FaultOptions {
  readonly help: boolean;
  readonly short: boolean;
  /** docs/faults.md stays as it is. */
  readonly keepPage: boolean;
  readonly long: LongOptions;
}

/** What `main.ts --help` says. */
export const helpText = `node e2e/faults/main.ts [OPTION…]

Plays the long form of the fault tests and writes docs/faults.md. Ends with 1 if a promise is broken, 2 if it cannot be run so.

  --short             the short form, which is a part of npm test; the options below are of the long form
  --part NAME         only this part, and others that are named so: ${partNames.join(", ")}
  --server-kills N    default ${wholeLong.serverKills}
  --worker-kills N    default ${wholeLong.workerKills}
  --rate N            lines per second of a room, default ${wholeLong.linesPerSecond}
  --stop SECONDS      how long processes are stopped, as often as wanted; default ${wholeLong.stopSeconds.join(", ")}
  --partition SECONDS default ${wholeLong.partitionSeconds}
  --keep-page         leaves docs/faults.md as it is

SEED=NUMBER repeats the order of a run.`;

/** Reads the command line. Throws TypeError. */
export function readOptions(args: readonly string[]): FaultOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: "boolean", short: "h", default: false },
      short: { type: "boolean", default: false },
      part: { type: "string", multiple: true, default: [] },
      "server-kills": { type: "string" },
      "worker-kills": { type: "string" },
      rate: { type: "string" },
      stop: { type: "string", multiple: true },
      partition: { type: "string" },
      "keep-page": { type: "boolean", default: false },
    },
  });
  const number = (name: string, text: string | undefined, usual: number) => {
    const value = text === undefined ? usual : Number(text || "none");
    if (!(value >= 0 && value < Infinity)) throw new TypeError(`--${name} is a number, not ${JSON.stringify(text)}`);
    return value;
  };
  const unknown = values.part.find((name) => !partNames.some((part) => part === name));
  if (unknown !== undefined) throw new TypeError(`--part is one of ${partNames.join(", ")}, not ${unknown}`);
  return {
    help: values.help,
    short: values.short,
    keepPage: values["keep-page"],
    long: {
      parts: values.part.length > 0 ? partNames.filter((name) => values.part.includes(name)) : wholeLong.parts,
      serverKills: number("server-kills", values["server-kills"], wholeLong.serverKills),
      workerKills: number("worker-kills", values["worker-kills"], wholeLong.workerKills),
      linesPerSecond: number("rate", values.rate, wholeLong.linesPerSecond),
      stopSeconds: values.stop?.map((text) => number("stop", text, 0)) ?? wholeLong.stopSeconds,
      partitionSeconds: number("partition", values.partition, wholeLong.partitionSeconds),
    },
  };
}

/** The number that decides the order of a run: SEED, or `usual`. Throws TypeError. */
export function readSeed(text: string | undefined, usual: number): number {
  const seed = text ? Number(text) : usual;
  if (!Number.isSafeInteger(seed)) throw new TypeError(`SEED is a whole number, not ${JSON.stringify(text)}`);
  return seed;
}

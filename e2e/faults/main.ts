import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { partNames, playLong, wholeLong, type LongOptions } from "./long.ts";
import { writeResult } from "./results-page.ts";
import { playShort } from "./short.ts";

// The fault runner. `main.ts` plays the long form, or what of it the options name, and writes docs/faults.md; `main.ts --short` the
// short form, which is a part of `npm test`. SEED repeats the order of a run. Ends with 1 if a promise is broken.

const { values } = parseArgs({
  options: {
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

const seed = process.env["SEED"] ? Number(process.env["SEED"]) : randomInt(1_000_000);
if (!Number.isSafeInteger(seed)) throw new TypeError("SEED is a whole number");
const say = (text: string) => process.stdout.write(`${text}\n`);
say(`seed ${seed}; SEED=${seed} repeats it`);

const isSound = values.short
  ? await playShort(seed, say)
  : await playLong(longOptions(), seed, say, async (result) => {
      if (!values["keep-page"]) await writeResult(result);
    });
// Connections that clients keep for a while to servers that are gone hold nobody up.
process.exit(isSound ? 0 : 1);

function longOptions(): LongOptions {
  const number = (name: string, text: string | undefined, usual: number) => {
    const value = text === undefined ? usual : Number(text);
    if (!(value >= 0)) throw new TypeError(`--${name} is a number`);
    return value;
  };
  const unknown = values.part.find((name) => !partNames.some((part) => part === name));
  if (unknown !== undefined) throw new TypeError(`--part is one of ${partNames.join(", ")}, not ${unknown}`);
  return {
    parts: values.part.length > 0 ? partNames.filter((name) => values.part.includes(name)) : wholeLong.parts,
    serverKills: number("server-kills", values["server-kills"], wholeLong.serverKills),
    workerKills: number("worker-kills", values["worker-kills"], wholeLong.workerKills),
    linesPerSecond: number("rate", values.rate, wholeLong.linesPerSecond),
    stopSeconds: values.stop?.map((text) => number("stop", text, 0)) ?? wholeLong.stopSeconds,
    partitionSeconds: number("partition", values.partition, wholeLong.partitionSeconds),
  };
}

import { randomInt } from "node:crypto";
import { playShort } from "./short.ts";

const seed = Number(process.env["SEED"] ?? randomInt(1_000_000));
const say = (text: string) => process.stdout.write(`${process.uptime().toFixed(1)} ${text}\n`);
say(`seed ${seed}`);
process.exitCode = (await playShort(seed, say)) ? 0 : 1;

import { randomInt } from "node:crypto";
import { playLong } from "./long.ts";
import { helpText, readOptions, readSeed } from "./options.ts";
import { writeResult } from "./results-page.ts";
import { playShort } from "./short.ts";

// The fault runner. `main.ts` plays the long form, or what of it the options name, and writes docs/faults.md; `main.ts --short` the
// short form, which is a part of `npm test`. SEED repeats the order of a run. Ends with 1 if a promise is broken.

const say = (text: string) => process.stdout.write(`${text}\n`);
const asked = read();
if (asked.help) {
  say(helpText);
  process.exit(0);
}
const { seed } = asked;
say(`seed ${seed}; SEED=${seed} repeats it`);

const isSound = asked.short
  ? await playShort(seed, say)
  : await playLong(asked.long, seed, say, async (result) => {
      if (!asked.keepPage) await writeResult(result);
    });
// Connections that clients keep for a while to servers that are gone hold nobody up.
process.exit(isSound ? 0 : 1);

function read() {
  try {
    return { ...readOptions(process.argv.slice(2)), seed: readSeed(process.env["SEED"], randomInt(1_000_000)) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    process.stderr.write(`${error.message}\nTry --help.\n`);
    process.exit(2);
  }
}

/**
 * A process with a store on a disk that breaks. Argument: the folder. It says `open`, and then does what its input tells it:
 * - `append n` appends n entries, one after another, and says `appended n`, or `failed <name of the error> <number appended>`;
 * - `read` says `entries n` if the topic's entries are numbered from 1 to n and whole.
 * When the store cannot go on it says `store failed`. It ends with its input.
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { decodeNumbered, encodeNumbered } from "../conformance/numbered-entries.ts";
import { open } from "./engine-under-test.ts";

// Writing beyond the limit of a file's size fails with an error, as a full disk does, instead of ending the process.
process.on("SIGXFSZ", () => undefined);

const topic = "log/disk/1";
const say = (line: string) => writeSync(1, `${line}\n`);

const store = await open(process.argv[2]!);
store.failed.addEventListener("abort", () => say("store failed"));
say("open");

async function append(count: number): Promise<string> {
  let appended = 0;
  try {
    const writer = await store.journal.open(topic);
    let number = writer.opened ? decodeNumbered(writer.opened.data) : 0;
    while (appended < count) {
      number++;
      await writer.append(encodeNumbered(number), number);
      appended++;
    }
    return `appended ${appended}`;
  } catch (error) {
    return `failed ${(error as Error).name} ${appended}`;
  }
}

async function read(): Promise<string> {
  let number = 0;
  let from = 0;
  for (;;) {
    const run = await store.journal.read(topic, from);
    if (run.length === 0) return `entries ${number}`;
    for (const { data, position } of run) {
      if (decodeNumbered(data) !== ++number) throw new Error(`entry ${number} is missing`);
      from = position;
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, count] = line.split(" ");
  say(command === "append" ? await append(Number(count)) : await read());
}
await store.close();

/**
 * A process with a store on a disk that breaks. Arguments: the folder, and how large its reserve is, bytes. It says `open`, and then does
 * what its input tells it, one thing at a time:
 * - `append n` appends n entries to a log, one after another, and says `appended n`, or `failed <name of the error> <number appended>`;
 * - `command n` does the same with entries that are no log's;
 * - `read` says `entries n m` if the entries of the log and of the other topic are numbered from 1 to n and to m, and whole.
 * It says `store <state>` at each change of the store's health, and `store failed` when it cannot go on. It ends with its input.
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { decodeNumbered, encodeNumbered } from "../conformance/numbered-entries.ts";
import { openSqliteStore } from "./open-sqlite-store.ts";

// Writing beyond the limit of a file's size fails with an error, as a full disk does, instead of ending the process.
process.on("SIGXFSZ", () => undefined);

const [folder = "", reserveBytes = "0"] = process.argv.slice(2);
const log = "log/disk/1";
const other = "job/disk";
const say = (line: string) => writeSync(1, `${line}\n`);

const store = await openSqliteStore({ folder, reserveBytes: Number(reserveBytes) });
store.failed.addEventListener("abort", () => say("store failed"));
const stop = new AbortController();
const telling = tellHealth();
say("open");

async function tellHealth(): Promise<void> {
  for (let said = store.health.current.state; !stop.signal.aborted;) {
    const { current } = store.health;
    if (current.state !== said) say(`store ${current.state}`);
    said = current.state;
    await store.health.change(current, stop.signal);
  }
}

async function append(topic: string, count: number): Promise<string> {
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

async function entries(topic: string): Promise<number> {
  let number = 0;
  let from = 0;
  for (;;) {
    const run = await store.journal.read(topic, from);
    if (run.length === 0) return number;
    for (const { data, position } of run) {
      if (decodeNumbered(data) !== ++number) throw new Error(`entry ${number} is missing`);
      from = position;
    }
  }
}

async function obey(line: string): Promise<void> {
  const [command, count] = line.split(" ");
  if (command === "append") say(await append(log, Number(count)));
  if (command === "command") say(await append(other, Number(count)));
  if (command === "read") say(`entries ${await entries(log)} ${await entries(other)}`);
}

const underWay: Promise<void>[] = [];
for await (const line of createInterface({ input: process.stdin })) underWay.push(obey(line));
store.stopWaiting();
await Promise.all(underWay);
stop.abort();
await telling;
await store.close();
say("closed");

/**
 * A process that has a store, for tests of what holds between processes. Arguments: the URL of a module that exports
 * `open(folder): Promise<Store>`, the folder, and what to do:
 * - `hold` opens the store and says `open`; it ends with its input.
 * - `append` goes on with numbered entries of several topics, many at once, and says `topic number position` for each that was
 *   acknowledged, until it is killed.
 * If the store cannot be opened it says `refused <name of the error> <message>`.
 */
import type { Store } from "../store.ts";
import { decodeNumbered, encodeNumbered, numberedTopics } from "./numbered-entries.ts";

const [module, folder, task] = process.argv.slice(2) as [string, string, "hold" | "append"];

// Output to a pipe is written before the call returns, so that what was said stays said when the process is killed.
function say(line: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${line}\n`, () => resolve()));
}

async function append(store: Store, topic: string): Promise<never> {
  const writer = await store.journal.open(topic);
  let number = writer.opened ? decodeNumbered(writer.opened.data) : 0;
  const lane = async () => {
    for (;;) {
      const mine = ++number;
      const position = await writer.append(encodeNumbered(mine), mine + 1);
      await say(`${topic} ${mine} ${position}`);
    }
  };
  return Promise.race(Array.from({ length: 8 }, lane));
}

const engine = (await import(module)) as { open(folder: string): Promise<Store> };
const store = await engine.open(folder).catch(async (error: unknown) => {
  await say(`refused ${error instanceof Error ? `${error.name} ${error.message}` : String(error)}`);
  process.exit(0);
});
await say("open");
if (task === "append") {
  await Promise.all(numberedTopics.map((topic) => append(store, topic)));
} else {
  for await (const _ of process.stdin);
  await store.close();
}

import { tempFolder } from "../testing.ts";
import type { JournalEntry, Position, Store } from "../store.ts";

/** An engine, as the conformance suite needs it. */
export interface StoreUnderTest {
  /** Opens the store in a folder, or creates it. */
  open(folder: string): Promise<Store>;
  /** URL of a module that exports `open`, for tests that need another process; without it they are skipped. */
  readonly module?: string;
  /** What is wrong with the files of a store that nobody has open; empty if nothing is. */
  damage?(folder: string): string[];
  /**
   * Makes a new topic of a closed store end at an entry that is not there, as it is after the file with the entry was removed;
   * without it those tests are skipped.
   */
  insertHead?(folder: string, topic: string, head: { last: Position; mark: number; sealed: boolean }): Promise<void>;
}

/** A store in a folder of its own that can be closed and opened again. */
export interface FreshStore extends AsyncDisposable {
  readonly folder: string;
  /** The store, as it was opened last. */
  readonly store: Store;
  /** Closes the store, lets `between` work on the folder, and opens it again. */
  reopen(between?: () => Promise<void>): Promise<Store>;
}

/** An empty store; disposing closes it and removes its folder. */
export async function freshStore(engine: StoreUnderTest): Promise<FreshStore> {
  const { folder, [Symbol.asyncDispose]: remove } = await tempFolder();
  let store = await engine.open(folder);
  return {
    folder,
    get store() {
      return store;
    },
    async reopen(between) {
      await store.close();
      await between?.();
      store = await engine.open(folder);
      return store;
    },
    async [Symbol.asyncDispose]() {
      await store.close();
      await remove();
    },
  };
}

/** Checks what was stored a moment ago, and then what lies on the disk. */
export async function liveAndReopened(fresh: FreshStore, check: (store: Store) => Promise<void>): Promise<void> {
  await check(fresh.store);
  await check(await fresh.reopen());
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Bytes of a text. */
export function bytes(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The text of an entry or record. */
export function textOf({ data }: { readonly data: Uint8Array | undefined }): string {
  return decoder.decode(data);
}

/** Everything that a topic holds, read in small pieces. */
export async function readAll(store: Store, topic: string, from: Position = 0): Promise<JournalEntry[]> {
  const entries: JournalEntry[] = [];
  for (;;) {
    const run = await store.journal.read(topic, entries.at(-1)?.position ?? from, { maxEntries: 50 });
    if (run.length === 0) return entries;
    entries.push(...run);
  }
}

/** Appends texts, each with its number in the topic as its mark; resolves when all are durable. */
export async function appendTexts(store: Store, topic: string, texts: readonly string[]): Promise<Position[]> {
  const writer = await store.journal.open(topic);
  const mark = writer.opened?.mark ?? 0;
  return Promise.all(texts.map((text, i) => writer.append(bytes(text), mark + i + 1)));
}

/** The error that a promise rejects with. Throws if it resolves. */
export async function errorOf(promise: Promise<unknown>): Promise<Error> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof Error) return outcome;
  throw new Error(`no error but ${String(outcome)}`);
}

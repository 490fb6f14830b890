/** Stores and folders for tests. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openSqliteStore } from "./sqlite/open-sqlite-store.ts";
import type { Store } from "./store.ts";

/** An empty folder that goes away with all that is in it. */
export async function tempFolder(): Promise<{ folder: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "signalbox-"));
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

/** An empty store on disk. Disposing closes it and removes its folder: `await using temp = await openTempStore()`. */
export async function openTempStore(): Promise<{ store: Store; folder: string } & AsyncDisposable> {
  const temp = await tempFolder();
  const store = await openSqliteStore({ folder: temp.folder });
  return {
    store,
    folder: temp.folder,
    async [Symbol.asyncDispose]() {
      await store.close();
      await temp[Symbol.asyncDispose]();
    },
  };
}

/** What SQLite finds when it checks the files of a store that nobody has open: `ok` for each that is whole. */
export function integrityOf(folder: string): string[] {
  return ["state.db", "logs.db"].map((file) => {
    const db = new DatabaseSync(join(folder, file));
    const row = db.prepare("PRAGMA integrity_check").get();
    db.close();
    return String(row?.["integrity_check"]);
  });
}

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { makeFolder } from "@signalbox/worker/config";

const sqliteBusy = 5;

/**
 * Becomes the only built-in worker of a data folder, for as long as this process lives or until the returned function is called.
 * Resolves with undefined if there is another one. The lock is SQLite's on an empty file, so it ends with the process, however that ends.
 */
export async function becomeSingleInstance(dataFolder: string): Promise<(() => void) | undefined> {
  await makeFolder(dataFolder);
  const lock = new DatabaseSync(join(dataFolder, "built-in-worker.db"), { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode === sqliteBusy) return undefined;
    throw error;
  }
  return () => lock.close();
}

import { holdLock, openForWriting, storeIdOf } from "./database.ts";
import type { Batch, BatchOutcome } from "./batch.ts";
import { FileWriter } from "./file-writer.ts";
import { remark, serveCalls } from "./thread-calls.ts";

/** What a writer thread is asked. `lock` and `open` come first, `close` last. */
export interface WriterCalls {
  /** Takes the lock of the store's folder and holds it as long as the thread lives. */
  lock(path: string): void;
  /** Opens or creates the database and returns the store id in it, which is `id` in a new one. */
  open(path: string, pageBytes: number, id: string): string;
  commit(batch: Batch): BatchOutcome;
  close(): void;
}

let writer: FileWriter | undefined;
let lock: { close(): void } | undefined;

function opened(): FileWriter {
  if (!writer) throw new Error("the database is not open");
  return writer;
}

serveCalls<WriterCalls>({
  lock(path) {
    lock = holdLock(path);
    return { value: undefined };
  },
  open(path, pageBytes, id) {
    const db = openForWriting(path, pageBytes);
    writer = new FileWriter(db);
    return { value: storeIdOf(db, id) };
  },
  commit(batch) {
    const outcome = opened().commit(batch);
    return {
      value: outcome,
      transfer: [outcome.data, outcome.appends.buffer],
      after() {
        const trouble = opened().checkpoint();
        if (trouble !== undefined) remark(trouble);
      },
    };
  },
  close() {
    writer?.close();
    lock?.close();
    return { value: undefined };
  },
});

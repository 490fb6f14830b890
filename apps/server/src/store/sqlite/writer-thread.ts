import { dirname, join } from "node:path";
import { holdLock, openForWriting, storeIdOf } from "./database.ts";
import type { Batch, BatchOutcome } from "./batch.ts";
import { FileWriter } from "./file-writer.ts";
import { Reserve } from "./reserve.ts";
import { remark, serveCalls } from "./thread-calls.ts";

/** What a writer thread is asked. `lock` and `open` come first, `close` last. */
export interface WriterCalls {
  /** Takes the lock of the store's folder and holds it as long as the thread lives. */
  lock(path: string): void;
  /**
   * Opens or creates the database and returns the store id in it, which is `id` in a new one, and how many bytes its reserve lacks.
   * Without `reserveBytes` it has none. `isMoved`: somebody else moves the write-ahead log as it grows.
   */
  open(
    path: string,
    pageBytes: number,
    id: string,
    reserveBytes: number,
    isMoved: boolean,
  ): { id: string; reserveLacks: number };
  commit(batch: Batch): BatchOutcome;
  /** Takes space for the reserve as far as there is any; returns how much it lacks then, bytes. */
  fillReserve(): number;
  close(): void;
}

/** Name of the file that holds space for commands, beside the database. */
const reserveName = "reserve";

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
  open(path, pageBytes, id, reserveBytes, isMoved) {
    const reserve = reserveBytes > 0 ? new Reserve(join(dirname(path), reserveName), reserveBytes) : undefined;
    reserve?.fill();
    reserve?.leaveSome();
    const db = openForWriting(path, pageBytes);
    writer = new FileWriter(db, isMoved, reserve);
    return { value: { id: storeIdOf(db, id), reserveLacks: reserve?.lacks ?? 0 } };
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
  fillReserve: () => ({ value: opened().fillReserve() }),
  close() {
    writer?.close();
    lock?.close();
    return { value: undefined };
  },
});

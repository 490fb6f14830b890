import type { DatabaseSync } from "node:sqlite";
import { openForMoving } from "./database.ts";
import { isFatal, isNoRoom } from "./result-code.ts";
import { FatalError, messageOf, serveCalls } from "./thread-calls.ts";

/** What a mover thread is asked. `open` comes first, `close` last. */
export interface MoverCalls {
  open(path: string): void;
  /** Moves what stands in the write-ahead log into the database, beside the commits that go on. Returns a remark if that did not work. */
  move(): string | undefined;
  close(): void;
}

let db: DatabaseSync | undefined;

serveCalls<MoverCalls>({
  open(path) {
    db = openForMoving(path);
    return { value: undefined };
  },
  move() {
    try {
      db?.exec("PRAGMA wal_checkpoint(PASSIVE)");
      return { value: undefined };
    } catch (error) {
      if (isFatal(error)) throw new FatalError(messageOf(error), { cause: error });
      // The commit that finds no room says so, to everybody.
      return { value: isNoRoom(error) ? undefined : `moving the write-ahead log failed: ${messageOf(error)}` };
    }
  },
  close() {
    db?.close();
    return { value: undefined };
  },
});

import type { MoverCalls } from "./mover-thread.ts";
import { Thread, type ThreadEvents } from "./thread.ts";

/**
 * Moves the write-ahead log of a file into its database, in a thread that is started when there is something to move for the first time. The
 * writer could do so between two commits; but syncing the database takes 4 to 20 ms, in which whoever prints a line waits.
 */
export class Mover {
  /**
   * Whether two connections may move the same log: in older versions of SQLite the log that one of them begins anew could be taken for moved
   * by the other, once in a very long while (https://www.sqlite.org/wal.html#walresetbug).
   */
  static readonly isSafe = hasWalResetFix(process.versions["sqlite"]);

  readonly #path: string;
  readonly #module: URL;
  readonly #events: ThreadEvents;
  #thread: Thread<MoverCalls> | undefined;
  #moving: Promise<void> | undefined;
  #isClosed = false;

  constructor(path: string, module: URL, events: ThreadEvents) {
    this.#path = path;
    this.#module = module;
    this.#events = events;
  }

  /** Has moved what there is by now. Does nothing while it moves already. */
  move(): void {
    if (this.#isClosed) return;
    this.#moving ??= this.#move()
      // A thread that ended has said why; nobody waits for this one.
      .catch(() => undefined)
      .finally(() => (this.#moving = undefined));
  }

  /** Resolves when nothing is moved any more and the thread is gone. */
  async close(error: Error): Promise<void> {
    this.#isClosed = true;
    await this.#moving;
    await this.#thread?.call("close", []);
    await this.end(error);
  }

  /** Ends the thread at once. */
  async end(error: Error): Promise<void> {
    this.#isClosed = true;
    await this.#thread?.end(error);
  }

  async #move(): Promise<void> {
    if (!this.#thread) {
      this.#thread = new Thread<MoverCalls>(this.#module, "store-mover", this.#events);
      await this.#thread.call("open", [this.#path]);
    }
    const trouble = await this.#thread.call("move", []);
    if (trouble !== undefined) this.#events.remark(trouble);
  }
}

/** Fixed in 3.51.3, and in 3.50.7 and 3.44.6 for those who stay there. */
export function hasWalResetFix(version: string | undefined): boolean {
  const [major = 0, minor = 0, patch = 0] = (version ?? "").split(".").map(Number);
  if (major !== 3) return major > 3;
  if (minor >= 52) return true;
  return (minor === 51 && patch >= 3) || (minor === 50 && patch >= 7) || (minor === 44 && patch >= 6);
}

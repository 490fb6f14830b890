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
  /** The thread has the database open. */
  #isOpen = false;
  #moving: Promise<void> | undefined;
  #isClosed = false;
  /** What was said last, until a move goes well again. */
  #said: string | undefined;

  constructor(path: string, module: URL, events: ThreadEvents) {
    this.#path = path;
    this.#module = module;
    this.#events = events;
  }

  /** Has moved what there is by now. Does nothing while it moves already. */
  move(): void {
    if (this.#isClosed) return;
    this.#moving ??= this.#move()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => (this.#moving = undefined));
  }

  /** Resolves when nothing is moved any more and the thread is gone. */
  async close(error: Error): Promise<void> {
    this.#isClosed = true;
    await this.#moving;
    if (this.#isOpen) await this.#thread?.call("close", []);
    await this.end(error);
  }

  /** Ends the thread at once. */
  async end(error: Error): Promise<void> {
    this.#isClosed = true;
    await this.#thread?.end(error);
  }

  async #move(): Promise<void> {
    if (!this.#thread) {
      this.#thread = new Thread<MoverCalls>(this.#module, "store-mover", {
        // Without it the writer does everything: only what it finds out about the disk ends the store.
        died: (error) => (this.#isOpen ? this.#events.died(error) : undefined),
        remark: (text) => this.#events.remark(text),
      });
      await this.#thread.call("open", [this.#path]);
      this.#isOpen = true;
    }
    const trouble = await this.#thread.call("move", []);
    if (trouble !== undefined && trouble !== this.#said) this.#events.remark(trouble);
    this.#said = trouble;
  }

  /** A thread that died has said why. One that did not come to be is not tried again. */
  #failed(error: unknown): void {
    if (this.#isOpen || this.#isClosed) return;
    const reason = error instanceof Error ? error : new Error(String(error));
    this.#events.remark(
      `the write-ahead log is moved by the writer alone, nobody else could begin to: ${reason.message}`,
    );
    void this.end(reason);
  }
}

/** Fixed in 3.51.3, and in 3.50.7 and 3.44.6 for those who stay there. */
export function hasWalResetFix(version: string | undefined): boolean {
  const [major = 0, minor = 0, patch = 0] = (version ?? "").split(".").map(Number);
  if (major !== 3) return major > 3;
  if (minor >= 52) return true;
  return (minor === 51 && patch >= 3) || (minor === 50 && patch >= 7) || (minor === 44 && patch >= 6);
}

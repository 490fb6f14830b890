import { extname } from "node:path";
import type { StoreClosed } from "../store.ts";
import type { Change } from "./batch.ts";
import { GroupCommit, type CommitEvents } from "./group-commit.ts";
import type { ReaderCalls } from "./reader-thread.ts";
import { Mover } from "./mover.ts";
import { RecentEntries } from "./recent-entries.ts";
import { RecentRecords } from "./recent-records.ts";
import type { Room } from "./room.ts";
import { Thread } from "./thread.ts";
import { Wakes } from "./wakes.ts";
import type { WriterCalls } from "./writer-thread.ts";

/** What is kept in memory of the newest changes of a table, bytes. */
const recentTableBytes = 4 * 1024 * 1024;

/** How a file of the store is opened. */
export interface StoreFileOptions {
  readonly path: string;
  /** Page size of a new database. */
  readonly pageBytes: number;
  /** What is kept in memory of the newest entries. */
  readonly recentBytes: number;
  /** The least time from the begin of one commit to that of the next, milliseconds; see GroupCommit. */
  readonly restMs: number;
  /**
   * The write-ahead log is moved by a thread of its own, where that is safe: for a file that takes megabytes a second. The thread takes 13 MB
   * and more.
   */
  readonly hasMover: boolean;
  /** Space that is kept for this file's commits, bytes; 0: none. */
  readonly reserveBytes: number;
  /** Told how many bytes of that are in use, when the file is open and after each commit. */
  readonly reserve: (lacks: number) => void;
  /** Where commits wait for room; without it those that find none are rejected. */
  readonly room?: Room | undefined;
  /** A thread ended by itself. */
  readonly died: (error: Error) => void;
  /** Something for the log. */
  readonly remark: (text: string) => void;
}

/** One database with its threads, as the main thread sees it: commits, reads, news and recent entries. */
export class StoreFile {
  readonly path: string;
  readonly commits: GroupCommit;
  readonly recent: RecentEntries;
  readonly records = new RecentRecords(recentTableBytes);
  /** News of topics. */
  readonly topics = new Wakes();
  /** News of tables. */
  readonly tables = new Wakes();
  readonly #pageBytes: number;
  readonly #reserveBytes: number;
  readonly #reserve: (lacks: number) => void;
  readonly #writer: Thread<WriterCalls>;
  readonly #reader: Thread<ReaderCalls>;
  readonly #mover: Mover | undefined;
  #ended: Error | undefined;

  constructor(options: StoreFileOptions) {
    const { path, pageBytes, recentBytes, restMs, room, hasMover, reserveBytes, reserve, died, remark } = options;
    this.path = path;
    this.#reserveBytes = reserveBytes;
    this.#reserve = reserve;
    this.#pageBytes = pageBytes;
    this.recent = new RecentEntries(recentBytes);
    this.#writer = new Thread(threadModule("writer-thread"), "store-writer", { died, remark });
    this.#reader = new Thread(threadModule("reader-thread"), "store-reader", { died, remark });
    this.#mover =
      hasMover && Mover.isSafe ? new Mover(path, threadModule("mover-thread"), { died, remark }) : undefined;
    const events: CommitEvents = {
      appended: (topic, previous, entry) => {
        this.recent.add(topic, previous, entry);
        this.topics.wake(topic);
      },
      changed: (change, revision, data) => this.#changed(change, revision, data),
      reserve,
      grown: () => this.#mover?.move(),
    };
    this.commits = new GroupCommit(this.#writer, events, { restMs, ...(room && { room }) });
  }

  /** Answers reads; see ReaderCalls. */
  get reader(): Pick<Thread<ReaderCalls>, "call"> {
    return this.#reader;
  }

  /** Holds an exclusive lock at `path` as long as the file is open. Rejects with CallFailed (SQLITE_BUSY) if another one has it. */
  lock(path: string): Promise<void> {
    return this.#writer.call("lock", [path]);
  }

  /** Opens or creates the database; resolves with the store id in it, which is `id` in a new one. */
  async open(id: string): Promise<string> {
    const stored = await this.#writer.call("open", [
      this.path,
      this.#pageBytes,
      id,
      this.#reserveBytes,
      this.#mover !== undefined,
    ]);
    await this.#reader.call("open", [this.path]);
    this.#reserve(stored.reserveLacks);
    return stored.id;
  }

  /** Takes space for the reserve as far as there is any; resolves with how much it lacks then, bytes. */
  fillReserve(): Promise<number> {
    return this.#writer.call("fillReserve", []);
  }

  /** Throws the reason if nothing may be asked any more. */
  assertOpen(): void {
    if (this.#ended) throw this.#ended;
  }

  /** Refuses what comes from now on. What was appended goes on to be committed. */
  refuse(error: StoreClosed): void {
    this.#ended ??= error;
    this.topics.end(error);
    this.tables.end(error);
  }

  /** Commits what was appended and closes the database: the reader first, so that the writer leaves one clean file. */
  async close(error: StoreClosed): Promise<void> {
    this.refuse(error);
    await this.commits.idle();
    await this.#mover?.close(error);
    await this.#reader.call("close", []);
    await this.#reader.end(error);
    await this.#writer.call("close", []);
    await this.#writer.end(error);
  }

  /** Ends both threads at once; what waits fails. */
  async abandon(error: StoreClosed): Promise<void> {
    this.refuse(error);
    this.commits.end(error);
    await Promise.all([this.#reader.end(error), this.#mover?.end(error), this.#writer.end(error)]);
  }

  #changed(change: Change, revision: number, data: Uint8Array | undefined): void {
    switch (change.kind) {
      case "put":
      case "delete": {
        const { table, key } = change;
        // A copy: what was given may be a part of something large.
        if (revision > 0) this.records.add(table, { key, revision, data: data && new Uint8Array(data) });
        this.tables.wake(table);
        return;
      }
      case "compact":
        this.records.compact(change.table, change.revision);
        this.tables.wake(change.table);
        return;
      case "trim":
        this.recent.trim(change.topic, change.before);
    }
  }
}

/** A module beside this one: TypeScript in a clone, JavaScript where it is built. */
function threadModule(name: string): URL {
  return new URL(`./${name}${extname(import.meta.url)}`, import.meta.url);
}

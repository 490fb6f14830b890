import { statfs } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { makeFolder } from "@signalbox/protocol/make-folder";
import type { HealthView } from "../health.ts";
import { StoreClosed, StoreLocked } from "../store.ts";
import type { Store, StoreStats, Table } from "../store.ts";
import { FileJournal } from "./file-journal.ts";
import { FileTable } from "./file-table.ts";
import { assertTableName } from "./limits.ts";
import { isBusy } from "./result-code.ts";
import { Room } from "./room.ts";
import { routedJournal } from "./routed-journal.ts";
import { StoreFile, type StoreFileOptions } from "./store-file.ts";
import { CallFailed } from "./thread.ts";

/** What the store needs of a logger; pino's fits. */
export interface StoreLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Where and how a store is opened. */
export interface SqliteStoreOptions {
  /** Made with mode 0700 if it does not exist. Nothing but the store may open its `*.db` files for writing. */
  readonly folder: string;
  /**
   * Space that is kept on the disk for state, bytes: what does not go to a log is stored from it when the disk is full. At most a 16th of
   * the disk. Default 0.
   */
  readonly reserveBytes?: number;
  readonly logger?: StoreLogger;
}

/** The most of a disk that the reserve takes. */
const reserveShare = 1 / 16;

// Small entries and records on small pages; chunks on large ones, where writing them costs a third less.
const statePageBytes = 4_096;
const logPageBytes = 16_384;

const stateRecentBytes = 4 * 1024 * 1024;
const logRecentBytes = 28 * 1024 * 1024;
/** An acknowledgement may wait so long for company; a command never waits. */
const logRestMs = 4;

/**
 * Opens the store in a folder, or creates it. The folder belongs to this process until the store is closed or the process is gone.
 * Topics that start with `log/` lie in `logs.db`, all else in `state.db`; each has a thread that writes and one that reads.
 * Throws StoreLocked if another process has the folder.
 */
export async function openSqliteStore({ folder, reserveBytes = 0, logger }: SqliteStoreOptions): Promise<Store> {
  await makeFolder(folder);
  const { blocks, bsize } = await statfs(folder);
  const store = new SqliteStore(folder, Math.min(reserveBytes, Math.floor(blocks * bsize * reserveShare)), logger);
  try {
    await store.open();
    return store;
  } catch (error) {
    await store.abandon(error);
    throw error;
  }
}

class SqliteStore implements Store {
  readonly journal;
  readonly #folder: string;
  readonly #logger: StoreLogger | undefined;
  readonly #state: StoreFile;
  readonly #logs: StoreFile;
  readonly #room: Room;
  readonly #reserveBytes: number;
  #reserveLacks = 0;
  readonly #failed = new AbortController();
  #id: string | undefined;
  #closing: Promise<void> | undefined;
  #abandoned: Promise<void> | undefined;

  constructor(folder: string, reserveBytes: number, logger: StoreLogger | undefined) {
    this.#folder = folder;
    this.#reserveBytes = reserveBytes;
    this.#logger = logger;
    this.#room = new Room({
      folder,
      fillReserve: async () => (this.#reserveLacks = await this.#state.fillReserve()),
      say: (level, text, freeBytes) => this.#logger?.[level]({ freeBytes }, text),
    });
    this.#state = this.#file("state.db", {
      ...{ pageBytes: statePageBytes, recentBytes: stateRecentBytes, restMs: 0, hasMover: false, reserveBytes },
      reserve: (lacks) => {
        this.#reserveLacks = lacks;
        this.#room.reserveLacks(lacks);
      },
    });
    this.#logs = this.#file("logs.db", {
      ...{ pageBytes: logPageBytes, recentBytes: logRecentBytes, restMs: logRestMs, hasMover: true, reserveBytes: 0 },
      reserve: () => undefined,
      room: this.#room,
    });
    this.journal = routedJournal(new FileJournal(this.#state), new FileJournal(this.#logs));
  }

  get id(): string {
    if (this.#id === undefined) throw new Error("the store is not open yet");
    return this.#id;
  }

  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /** Takes the folder and opens the files. */
  async open(): Promise<void> {
    try {
      await this.#state.lock(join(this.#folder, "lock.db"));
    } catch (error) {
      if (!(error instanceof CallFailed && isBusy(error.errcode))) throw error;
      throw new StoreLocked(`another process has the store in ${this.#folder}`, { cause: error });
    }
    const id = await this.#state.open(randomUUID());
    const logsId = await this.#logs.open(id);
    if (logsId !== id) throw new Error(`${this.#logs.path} does not belong to ${this.#state.path}`);
    this.#id = id;
    await this.#room.start();
  }

  get health(): HealthView {
    return this.#room.health;
  }

  stopWaiting(): void {
    this.#room.stop();
  }

  table(name: string): Table {
    assertTableName(name);
    return new FileTable(this.#state, name);
  }

  stats(): StoreStats {
    const state = this.#state.commits.stats;
    const logs = this.#logs.commits.stats;
    return {
      commits: state.commits + logs.commits,
      appends: state.appends + logs.appends,
      appendedBytes: state.appendedBytes + logs.appendedBytes,
      pendingBytes: state.pendingBytes + logs.pendingBytes,
      lastCommitMs: Math.max(state.lastCommitMs, logs.lastCommitMs),
      reserveBytes: this.#reserveBytes - this.#reserveLacks,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Gives everything up at once. */
  abandon(cause: unknown): Promise<void> {
    const closed = new StoreClosed("the store failed", { cause });
    this.#room.stop();
    this.#abandoned ??= Promise.all([this.#logs.abandon(closed), this.#state.abandon(closed)]).then(() => undefined);
    return this.#abandoned;
  }

  async #close(): Promise<void> {
    const closed = new StoreClosed("the store is closed");
    this.#room.stop();
    this.#logs.refuse(closed);
    this.#state.refuse(closed);
    try {
      // The thread of the state has the lock of the folder: it goes last.
      await this.#logs.close(closed);
      await this.#state.close(closed);
    } catch (error) {
      await this.abandon(error);
      // Else whoever waited for a commit, and whoever listens to `failed`, has heard of it.
      if (!this.failed.aborted) throw error;
    }
  }

  #file(name: string, kind: Omit<StoreFileOptions, "path" | "died" | "remark">): StoreFile {
    return new StoreFile({
      path: join(this.#folder, name),
      ...kind,
      died: (error) => this.#fail(error),
      remark: (text) => this.#logger?.warn({ file: name }, `store: ${text}`),
    });
  }

  #fail(error: Error): void {
    if (this.failed.aborted) return;
    this.#failed.abort(error);
    void this.abandon(error);
  }
}

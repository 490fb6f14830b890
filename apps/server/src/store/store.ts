import type { HealthView } from "./health.ts";

/**
 * The two storage primitives that everything above stands on. Nothing above knows which engine implements them.
 *
 * A `Journal` holds many topics, each an ordered sequence of entries. A `Table` holds records by key, newest state only. There
 * are no transactions across topics or keys: facts that must stand or fall together are one entry.
 */

/** Place of an entry in its topic. Rises along the topic, may skip, means nothing else: never compute with it. 0 is before all entries. */
export type Position = number;

/** One stored entry. */
export interface JournalEntry {
  readonly position: Position;
  /** A number that never falls along the topic; for a log the next line number after the entry. See {@link Journal.find}. */
  readonly mark: number;
  /** Set on the entry that sealed the topic; it is the last one. */
  readonly sealed: boolean;
  /** The entry's bytes. Shared between readers: never change them, never transfer their buffer. */
  readonly data: Uint8Array;
}

/** A topic and where it ends. */
export interface TopicInfo {
  readonly topic: string;
  readonly last: Position;
  readonly mark: number;
  readonly sealed: boolean;
}

/** Bounds of one read. A read returns at least one entry if there is any, even one larger than `maxBytes`. */
export interface ReadLimit {
  /** Default 1,000. */
  readonly maxEntries?: number;
  /** Default 1 MiB. */
  readonly maxBytes?: number;
}

/**
 * Appends to one topic, each append conditional on the one before. Of two writers of a topic, the one that appends first wins and
 * the other fails with {@link Conflict}. After any failure the writer is dead: open another one.
 */
export interface TopicWriter {
  readonly topic: string;
  /** The topic's newest entry when the writer was opened; undefined in an empty topic. */
  readonly opened: JournalEntry | undefined;
  /**
   * Appends an entry, given whole or in pieces that make it up one after the other. Resolves with its position when it is durable, in
   * the order of the calls; many appends may be under way.
   * `mark` must not be less than the mark of the entry before. `data` is at most 4 MiB; the caller must not change it until the append
   * is settled. Rejects with Conflict, Fenced, UnknownOutcome, NotStored, StoreClosed, or RangeError for a mark or data out of bounds.
   * Where there is no room, appends to a log wait for it, and all others reject with NotStored when the reserve for them is used up.
   */
  append(data: Uint8Array | readonly Uint8Array[], mark: number): Promise<Position>;
}

/** Many ordered topics. Topic names are 1 to 300 characters of A-Z a-z 0-9 and / . _ : - */
export interface Journal {
  /**
   * Reads the topic's last entry and returns a writer that goes on from it. Throws Fenced if the topic is sealed, and Conflict if
   * `expectedLast` is given and the last position is another one (0: the topic must be empty).
   */
  open(topic: string, expectedLast?: Position): Promise<TopicWriter>;
  /**
   * Appends the final entry; every later append of any writer fails with Fenced. Retried until it lands. Sealing a sealed topic
   * changes nothing and returns the position of the seal. `mark` is raised to the topic's mark if it is less. `make` is called
   * with the entry that the seal will follow, once for each try. Rejects with UnknownOutcome or NotStored when the commit fails,
   * and with what `make` throws; RangeError as append does.
   */
  seal(topic: string, make: (last: JournalEntry | undefined) => { data: Uint8Array; mark: number }): Promise<Position>;
  /** Entries after `from`, oldest first; empty at the end or in an unknown topic. */
  read(topic: string, from: Position, limit?: ReadLimit): Promise<readonly JournalEntry[]>;
  /**
   * Position to read from so that the first entry read is the first whose mark is greater than `mark`. For a log whose marks are
   * next line numbers, `find(topic, n)` is where line n begins. O(log entries).
   */
  find(topic: string, mark: number): Promise<Position>;
  /**
   * Entries after `from`: history, then live, with no seam. Yields non-empty runs, within `limit`. Ends after the seal, and when
   * `signal` aborts (without an error). It pulls: a reader that does not ask costs nothing. Throws StoreClosed if the store closes.
   */
  tail(
    topic: string,
    from: Position,
    signal: AbortSignal,
    limit?: ReadLimit,
  ): AsyncGenerator<readonly JournalEntry[], void, void>;
  /**
   * Resolves when the topic may have an entry after `from`, at once if it already has; resolves too when `signal` aborts. Behind a
   * seal there is nothing more: there only the signal ends it.
   */
  more(topic: string, from: Position, signal: AbortSignal): Promise<void>;
  /** The topic's newest entry. Its data is empty if the entry itself went away with an old file and only its place is remembered. */
  last(topic: string): Promise<JournalEntry | undefined>;
  /** Every topic whose name starts with `prefix`, by name. */
  topics(prefix: string): Promise<readonly TopicInfo[]>;
  /** Removes entries before `before`, but never the last one. In steps: if it fails, a part may have been removed. */
  trim(topic: string, before: Position): Promise<void>;
}

/** A key's newest state. */
export interface TableRecord {
  readonly key: string;
  /** Rises with every change of any key of the table. */
  readonly revision: number;
  /** Undefined: the key was deleted. */
  readonly data: Uint8Array | undefined;
}

/**
 * Records by key: the newest state of each. Whoever needs every change reads a journal. Keys are made like topic names, data is at
 * most 4 MiB. Changes reject with UnknownOutcome or NotStored when the commit fails.
 */
export interface Table {
  /** The record, or undefined if the key does not exist. */
  get(key: string): Promise<TableRecord | undefined>;
  /**
   * Sets the record and returns its revision when it is durable. With `ifRevision`, throws Conflict unless the record has that
   * revision (0: does not exist).
   */
  put(key: string, data: Uint8Array, options?: { ifRevision?: number }): Promise<number>;
  /** Deletes the record; it stays visible to `watch` as a tombstone. Deleting what does not exist changes nothing. */
  delete(key: string, options?: { ifRevision?: number }): Promise<void>;
  /** All existing records by key, and the revision up to which they are complete. */
  list(): Promise<{ readonly records: readonly TableRecord[]; readonly revision: number }>;
  /**
   * The newest state of every key that changed after `fromRevision`, tombstones included, by rising revision; then live. Yields
   * non-empty runs. Ends without error when `signal` aborts. Throws Compacted if tombstones after `fromRevision` were removed.
   */
  watch(fromRevision: number, signal: AbortSignal): AsyncGenerator<readonly TableRecord[], void, void>;
  /** Removes tombstones up to `revision`. */
  compact(revision: number): Promise<void>;
}

/** What the engine did so far. Counters rise from 0 at start. */
export interface StoreStats {
  readonly commits: number;
  readonly appends: number;
  readonly appendedBytes: number;
  /** Bytes that were given to `append` and are not durable yet. */
  readonly pendingBytes: number;
  /** Duration of the newest commit, milliseconds; of several files' newest commits the longest. */
  readonly lastCommitMs: number;
  /** Bytes that are kept on the disk for commands, should it be full. */
  readonly reserveBytes: number;
}

/** An open store. */
export interface Store {
  /** Random identity, made when the store was created; part of every cursor. */
  readonly id: string;
  readonly journal: Journal;
  /** A table by name. Names are 1 to 60 characters of a-z 0-9 _ */
  table(name: string): Table;
  stats(): StoreStats;
  /** Whether there is room for what is to be stored. */
  readonly health: HealthView;
  /** What waits for room rejects with NotStored, now and from now on: for a process that is about to end. */
  stopWaiting(): void;
  /**
   * Aborts, with the error as its reason, when the engine cannot go on (a sync to disk failed, a thread died): nothing is known to be
   * stored any more but what was acknowledged. What was under way rejects with UnknownOutcome, later calls fail with StoreClosed. The
   * process should say so and end.
   */
  readonly failed: AbortSignal;
  /** Commits what was appended, then closes. Later calls fail with StoreClosed. May be called twice. */
  close(): Promise<void>;
}

/** Somebody else wrote first: read again and decide again. */
export class Conflict extends Error {
  override readonly name = "Conflict";
}

/** The topic is sealed: nothing can be appended ever again. */
export class Fenced extends Error {
  override readonly name = "Fenced";
}

/** The commit failed: the entry may or may not be stored. Reopen from the last entry to know. */
export class UnknownOutcome extends Error {
  override readonly name = "UnknownOutcome";
}

/** There was no room, or the disk refused to write: nothing was stored. Try again when there is room. */
export class NotStored extends Error {
  override readonly name = "NotStored";
}

/** The watch asks for changes that are forgotten: list again. */
export class Compacted extends Error {
  override readonly name = "Compacted";
}

/** The store is closed. */
export class StoreClosed extends Error {
  override readonly name = "StoreClosed";
}

/** Another process has the store. */
export class StoreLocked extends Error {
  override readonly name = "StoreLocked";
}

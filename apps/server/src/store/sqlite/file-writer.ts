import type { DatabaseSync } from "node:sqlite";
import type { Position } from "../store.ts";
import { appendColumns, outcomes } from "./batch.ts";
import type { Batch, BatchOutcome, Change } from "./batch.ts";
import { numberOf } from "./database.ts";
import type { Reserve } from "./reserve.ts";
import { isFatal, isFull, isNoRoom } from "./result-code.ts";
import { FatalError, messageOf } from "./thread-calls.ts";

/**
 * The write-ahead log is moved into the database when so much of it is not there yet, and begun anew when it is larger and little is left:
 * then that holds the next commit up for some 2 ms. Where nobody else moves it, it is for the writer to do, which takes 4 to 20 ms.
 */
const checkpointBytes = 2 * 1024 * 1024;

/** So little of it may be left then. */
const mostLeftBytes = 256 * 1024;

/** When it is larger than this, whoever moves it stops, and the writer moves what is left: what comes so fast has to wait. */
const mostWalBytes = 12 * 1024 * 1024;

/** The same while the reserve is in use: then the write-ahead log must not grow. */
const scarceCheckpointBytes = 256 * 1024;

/** How long a checkpoint waits for readers of older state. Our own are done in a few milliseconds. */
const checkpointWaitMs = 100;

/** So long commits wait at most for somebody else who moves the write-ahead log; then it may grow by 2 MiB before they wait again. */
const patienceMs = 1_000;

const neverNotified = new Int32Array(new SharedArrayBuffer(4));

/** What one transaction of a trim removes at most, so that appends need not wait long for it. */
const trimBytes = 16 * 1024 * 1024;
const trimEntries = 2_000;

/** Topics whose end is kept in memory; all are forgotten when there are more. */
const maxKnownTopics = 20_000;

/** Where a topic ends, in the transaction under way. */
interface Topic {
  readonly id: number;
  last: Position;
  mark: number;
  sealed: boolean;
  /** The writer of the last entry, if it was appended since the topic is in memory. */
  writer: number;
  changed: boolean;
}

interface TableState {
  readonly id: number;
  revision: number;
  floor: number;
}

/** The one that changes a database. Lives in the writer thread; every commit is a call of {@link commit}. */
export class FileWriter {
  readonly #db: DatabaseSync;
  readonly #sql: ReturnType<typeof prepare>;
  readonly #pageBytes: number;
  readonly #busyTimeoutMs: number;
  readonly #topics = new Map<string, Topic>();
  readonly #reserve: Reserve | undefined;
  #last: Position;
  readonly #isMoved: boolean;
  #checkpointAt = checkpointBytes;
  #walBytes = 0;
  #toMove = false;

  /** `reserve` gives its space to commits that find none. `isMoved`: somebody else moves the write-ahead log as it grows. */
  constructor(db: DatabaseSync, isMoved: boolean, reserve?: Reserve) {
    this.#db = db;
    this.#isMoved = isMoved;
    this.#reserve = reserve;
    this.#sql = prepare(db);
    this.#pageBytes = numberOf(db, "PRAGMA page_size", "page_size");
    this.#busyTimeoutMs = numberOf(db, "PRAGMA busy_timeout", "timeout");
    this.#last = numberOf(db, "SELECT max(position) AS last FROM entry", "last");
  }

  /**
   * Stores a batch in one transaction. A condition that is not met fails that append or change alone; if the transaction fails,
   * nothing is stored and the outcome says why. Throws FatalError if nobody can know what is stored.
   */
  commit(batch: Batch): BatchOutcome {
    const started = performance.now();
    const outcome = (made: Partial<BatchOutcome>): BatchOutcome => ({
      ...{ data: batch.data, failed: undefined, noRoom: false, isFull: false },
      ...{ appends: new Float64Array(), changes: [], ...made },
      reserveLacks: this.#reserve?.lacks ?? 0,
      toMove: this.#toMove,
      ms: performance.now() - started,
    });
    for (;;) {
      try {
        this.#sql.begin.run();
        const appends = this.#append(batch);
        const changes = this.#change(batch);
        this.#sql.commit.run();
        return outcome({ appends, changes });
      } catch (error) {
        this.#rollback(error);
        if (isFull(error) && this.#reserve?.give()) {
          // What is in the database already need not stand in the write-ahead log, too: then that need not grow.
          this.checkpoint();
          continue;
        }
        return outcome({ failed: messageOf(error), noRoom: isNoRoom(error), isFull: isFull(error) });
      }
    }
  }

  /**
   * Moves the write-ahead log into the database if it has grown, and lets the next commit begin it again. Returns a remark if that
   * did not work for a reason that nobody else tells; the next try is 2 MiB later.
   */
  checkpoint(): string | undefined {
    const { log, checkpointed } = this.#sql.walSize.get() as unknown as { log: number; checkpointed: number };
    const walBytes = log * this.#pageBytes;
    const leftBytes = walBytes - checkpointed * this.#pageBytes;
    // Where all was moved a commit begins it anew by itself.
    if (walBytes < this.#walBytes) this.#checkpointAt = checkpointBytes;
    this.#walBytes = walBytes;
    const isScarce = this.#reserve !== undefined && this.#reserve.lacks > 0;
    const isWriters = !this.#isMoved || walBytes >= mostWalBytes;
    this.#toMove = !isWriters && leftBytes >= checkpointBytes;
    if (!isScarce && !isWriters && leftBytes > mostLeftBytes) return undefined;
    if (walBytes < (isScarce ? scarceCheckpointBytes : this.#checkpointAt)) return undefined;
    this.#checkpointAt = checkpointBytes;
    try {
      this.#db.exec(`PRAGMA busy_timeout = ${checkpointWaitMs}`);
      const outcome = this.#restart(isWriters);
      if (outcome === "done") return undefined;
      this.#checkpointAt = walBytes + checkpointBytes;
      if (isScarce || outcome === "moving") return undefined;
      return "a long read keeps the write-ahead log from being reused";
    } catch (error) {
      if (isFatal(error)) throw new FatalError(messageOf(error), { cause: error });
      this.#checkpointAt = walBytes + checkpointBytes;
      // The commit that finds no room says so, to everybody.
      return isNoRoom(error) ? undefined : `checkpoint failed: ${messageOf(error)}`;
    } finally {
      this.#db.exec(`PRAGMA busy_timeout = ${this.#busyTimeoutMs}`);
    }
  }

  /**
   * Moves what is left of the write-ahead log and lets the next commit begin it anew, unless there is a long read, or somebody else moves it:
   * for that one it waits if `patiently`. Then so do the commits, as if it moved everything itself.
   */
  #restart(patiently: boolean): "done" | "long read" | "moving" {
    for (const giveUpMs = performance.now() + (patiently ? patienceMs : 0); ;) {
      const begunMs = performance.now();
      const { busy } = this.#sql.checkpoint.get() as unknown as { busy: number };
      if (busy === 0) return "done";
      // For readers SQLite waits, not for another checkpoint.
      if (!this.#isMoved || performance.now() - begunMs >= checkpointWaitMs / 2) return "long read";
      if (begunMs >= giveUpMs) return "moving";
      Atomics.wait(neverNotified, 0, 0, 2);
    }
  }

  /** Takes space for the reserve as far as there is any; returns how much it lacks then, bytes. */
  fillReserve(): number {
    this.#reserve?.fill();
    return this.#reserve?.lacks ?? 0;
  }

  close(): void {
    this.#db.close();
    this.#reserve?.close();
  }

  #append({ topics: names, appends, data }: Batch): Float64Array<ArrayBuffer> {
    if (this.#topics.size + names.length > maxKnownTopics) this.#topics.clear();
    const topics = names.map((name) => this.#topic(name));
    const positions = new Float64Array(appends.length / appendColumns);
    let offset = 0;
    for (let i = 0; i < positions.length; i++) {
      const at = i * appendColumns;
      const topic = topics[appends[at]!]!;
      const writer = appends[at + 1]!;
      const bytes = appends[at + 5]!;
      const from = offset;
      offset += bytes;
      if (topic.sealed) {
        positions[i] = outcomes.fenced;
        continue;
      }
      // Either this writer's entry was the last one, a moment ago in this batch, or nothing came since it last knew.
      if (topic.writer !== writer && topic.last !== appends[at + 2]) {
        positions[i] = outcomes.conflict;
        continue;
      }
      const position = Math.max(this.#last, topic.last) + 1;
      const mark = appends[at + 3]!;
      const sealed = appends[at + 4] === 1;
      this.#sql.insertEntry.run(position, topic.id, mark, sealed ? 1 : 0, new Uint8Array(data, from, bytes));
      this.#last = position;
      topic.last = position;
      topic.mark = mark;
      topic.sealed = sealed;
      topic.writer = writer;
      topic.changed = true;
      positions[i] = position;
    }
    for (const topic of topics) {
      if (!topic.changed) continue;
      this.#sql.updateTopic.run(topic.last, topic.mark, topic.sealed ? 1 : 0, topic.id);
      topic.changed = false;
    }
    return positions;
  }

  #topic(name: string): Topic {
    const known = this.#topics.get(name);
    if (known) return known;
    const row = this.#sql.topic.get(name) as { id: number; last: number; mark: number; sealed: number } | undefined;
    const topic: Topic = {
      id: row?.id ?? Number(this.#sql.insertTopic.run(name).lastInsertRowid),
      last: row?.last ?? 0,
      mark: row?.mark ?? 0,
      sealed: row?.sealed === 1,
      writer: 0,
      changed: false,
    };
    this.#topics.set(name, topic);
    return topic;
  }

  #change(batch: Batch): number[] {
    if (batch.changes.length === 0) return [];
    let offset = batch.data.byteLength;
    for (const change of batch.changes) if (change.kind === "put") offset -= change.bytes;
    return batch.changes.map((change) => {
      if (change.kind === "trim") return this.#trim(change);
      const state = this.#tableState(change.table);
      if (change.kind === "compact") return this.#compact(state, change.revision);
      if (change.kind === "delete") return this.#delete(state, change);
      const data = new Uint8Array(batch.data, offset, change.bytes);
      offset += change.bytes;
      return this.#put(state, change, data);
    });
  }

  #put(table: TableState, { key, ifRevision }: Extract<Change, { kind: "put" }>, data: Uint8Array): number {
    if (ifRevision !== undefined && ifRevision !== this.#revisionOf(table, key)) return outcomes.conflict;
    return this.#write(table, key, data);
  }

  #delete(table: TableState, { key, ifRevision }: Extract<Change, { kind: "delete" }>): number {
    const revision = this.#revisionOf(table, key);
    if (ifRevision !== undefined && ifRevision !== revision) return outcomes.conflict;
    return revision === 0 ? 0 : this.#write(table, key, null);
  }

  #write(table: TableState, key: string, data: Uint8Array | null): number {
    table.revision++;
    this.#sql.putRecord.run(table.id, key, table.revision, data);
    this.#sql.updateTable.run(table.revision, table.floor, table.id);
    return table.revision;
  }

  /** The revision of an existing record; 0 if there is none or it was deleted. */
  #revisionOf(table: TableState, key: string): number {
    const row = this.#sql.recordRevision.get(table.id, key) as { revision: number } | undefined;
    return row?.revision ?? 0;
  }

  #compact(table: TableState, revision: number): 0 {
    const row = this.#sql.newestTombstone.get(table.id, revision) as { revision: number | null };
    if (row.revision === null) return 0;
    this.#sql.removeTombstones.run(table.id, row.revision);
    this.#sql.updateTable.run(table.revision, row.revision, table.id);
    return 0;
  }

  #tableState(name: string): TableState {
    const row = this.#sql.table.get(name) as { id: number; revision: number; floor: number } | undefined;
    if (row) return row;
    return { id: Number(this.#sql.insertTable.run(name).lastInsertRowid), revision: 0, floor: 0 };
  }

  #trim({ topic, before }: Extract<Change, { kind: "trim" }>): 0 | 1 {
    const row = this.#sql.topic.get(topic) as { id: number; last: number } | undefined;
    if (!row) return 0;
    const end = Math.min(before, row.last);
    let bytes = 0;
    let entries = 0;
    let upTo = 0;
    for (const entry of this.#sql.sizesBefore.iterate(row.id, end) as Iterable<{ position: number; bytes: number }>) {
      if (entries === trimEntries || bytes >= trimBytes) break;
      entries++;
      bytes += entry.bytes;
      upTo = entry.position;
    }
    if (entries === 0) return 0;
    this.#sql.removeEntries.run(row.id, upTo);
    return entries === trimEntries || bytes >= trimBytes ? 1 : 0;
  }

  #rollback(error: unknown): void {
    this.#topics.clear();
    if (isFatal(error)) throw new FatalError(messageOf(error), { cause: error });
    try {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
    } catch (failure) {
      throw new FatalError(`${messageOf(error)}, and then: ${messageOf(failure)}`, { cause: failure });
    }
  }
}

function prepare(db: DatabaseSync) {
  return {
    begin: db.prepare("BEGIN IMMEDIATE"),
    commit: db.prepare("COMMIT"),
    walSize: db.prepare("PRAGMA wal_checkpoint(NOOP)"),
    // Waits until no reader needs the log, so that the next commit starts it from the beginning: without that it would grow for ever
    // under readers that never pause together.
    checkpoint: db.prepare("PRAGMA wal_checkpoint(RESTART)"),
    topic: db.prepare("SELECT id, last, mark, sealed FROM topic WHERE name = ?"),
    insertTopic: db.prepare("INSERT INTO topic (name, last, mark, sealed) VALUES (?, 0, 0, 0)"),
    updateTopic: db.prepare("UPDATE topic SET last = ?, mark = ?, sealed = ? WHERE id = ?"),
    insertEntry: db.prepare("INSERT INTO entry (position, topic, mark, sealed, data) VALUES (?, ?, ?, ?, ?)"),
    sizesBefore: db.prepare(
      "SELECT position, length(data) AS bytes FROM entry WHERE topic = ? AND position < ? ORDER BY position",
    ),
    removeEntries: db.prepare("DELETE FROM entry WHERE topic = ? AND position <= ?"),
    table: db.prepare("SELECT id, revision, floor FROM tables WHERE name = ?"),
    insertTable: db.prepare("INSERT INTO tables (name, revision, floor) VALUES (?, 0, 0)"),
    updateTable: db.prepare("UPDATE tables SET revision = ?, floor = ? WHERE id = ?"),
    recordRevision: db.prepare("SELECT revision FROM record WHERE tables = ? AND key = ? AND data IS NOT NULL"),
    putRecord: db.prepare(
      `INSERT INTO record (tables, key, revision, data) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET revision = excluded.revision, data = excluded.data`,
    ),
    newestTombstone: db.prepare(
      "SELECT max(revision) AS revision FROM record WHERE tables = ? AND revision <= ? AND data IS NULL",
    ),
    removeTombstones: db.prepare("DELETE FROM record WHERE tables = ? AND revision <= ? AND data IS NULL"),
  };
}

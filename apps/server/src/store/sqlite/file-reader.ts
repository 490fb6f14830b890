import type { DatabaseSync } from "node:sqlite";
import type { JournalEntry, Position, TableRecord } from "../store.ts";

/** A table's records, or those of them that changed, and how far they are complete. */
export interface RecordRun {
  readonly records: TableRecord[];
  /** The table's newest revision. */
  readonly revision: number;
  /** The highest revision of a tombstone that was removed. */
  readonly floor: number;
}

interface TopicRow {
  readonly id: number;
  readonly last: Position;
  readonly mark: number;
  readonly sealed: number;
}

type EntryRow = [position: number, mark: number, sealed: number, data: Uint8Array];

/** Answers from a database. Lives in the reader thread; every call reads one state, and no transaction outlives its call. */
export class FileReader {
  readonly #db: DatabaseSync;
  readonly #sql: ReturnType<typeof prepare>;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#sql = prepare(db);
  }

  /** The position of the newest entry that can be read (0 if there is none: a head cannot), and whether there will be no other. */
  end(topic: string): { last: Position; sealed: boolean } {
    return this.#snapshot(() => {
      const row = this.#topic(topic);
      const entry = row && (this.#sql.newest.get(row.id) as { last: number | null });
      return { last: entry?.last ?? 0, sealed: row?.sealed === 1 };
    });
  }

  /** The topic's newest entry. Under a head it has no data. */
  last(topic: string): JournalEntry | undefined {
    return this.#snapshot(() => {
      const row = this.#topic(topic);
      if (!row || row.last === 0) return undefined;
      const entry = this.#sql.entry.get(row.last) as { data: Uint8Array } | undefined;
      return {
        position: row.last,
        mark: row.mark,
        sealed: row.sealed === 1,
        data: entry?.data ?? new Uint8Array(),
      };
    });
  }

  /** Entries after `from`: at least one if there is any, then no more than the limits allow. */
  read(topic: string, from: Position, maxEntries: number, maxBytes: number): JournalEntry[] {
    return this.#snapshot(() => {
      const entries: JournalEntry[] = [];
      const row = this.#topic(topic);
      if (!row || row.last <= from) return entries;
      let bytes = 0;
      const rows = this.#sql.entriesAfter.iterate(row.id, from, maxEntries) as unknown as Iterable<EntryRow>;
      for (const [position, mark, sealed, data] of rows) {
        bytes += data.byteLength;
        if (bytes > maxBytes && entries.length > 0) break;
        entries.push({ position, mark, sealed: sealed === 1, data });
      }
      return entries;
    });
  }

  /**
   * Position from which the first entry has the first mark greater than `mark`. Marks never fall, so it bisects positions: about 30
   * steps in the index, whatever the size of the topic.
   */
  find(topic: string, mark: number): Position {
    return this.#snapshot(() => {
      const row = this.#topic(topic);
      if (!row) return 0;
      if (row.mark <= mark) return row.last;
      // No mark at or before `low` is greater; the first entry after `high` (if there is one) has a greater mark.
      let low = 0;
      let high = row.last - 1;
      while (low < high) {
        const middle = Math.floor((low + high) / 2);
        const next = this.#sql.markAfter.get(row.id, middle) as { position: number; mark: number } | undefined;
        if (next && next.mark <= mark) low = next.position;
        else high = middle;
      }
      return low;
    });
  }

  /** Every topic with its end, by name; `prefix` is plain ASCII. */
  topics(prefix: string): { names: string[]; columns: Float64Array<ArrayBuffer> } {
    // Names hold ASCII only, so that this character is behind each of them.
    const rows = this.#sql.topics.all(prefix, `${prefix}\u{7f}`) as unknown as [string, number, number, number][];
    const columns = new Float64Array(rows.length * 3);
    const names = rows.map(([name, last, mark, sealed], i) => {
      columns[i * 3] = last;
      columns[i * 3 + 1] = mark;
      columns[i * 3 + 2] = sealed;
      return name;
    });
    return { names, columns };
  }

  /** The record of a key that exists. */
  record(table: string, key: string): TableRecord | undefined {
    const row = this.#sql.record.get(table, key) as { revision: number; data: Uint8Array } | undefined;
    return row && { key, revision: row.revision, data: row.data };
  }

  /** All existing records by key. */
  records(table: string): RecordRun {
    return this.#run(table, (id) => this.#sql.records.iterate(id) as unknown as Iterable<RecordRow>, Infinity);
  }

  /** Records that changed after a revision, tombstones included, oldest change first. */
  changes(table: string, after: number, maxRecords: number, maxBytes: number): RecordRun {
    return this.#run(
      table,
      (id) => this.#sql.recordsAfter.iterate(id, after, maxRecords) as unknown as Iterable<RecordRow>,
      maxBytes,
    );
  }

  close(): void {
    this.#db.close();
  }

  #run(table: string, rows: (id: number) => Iterable<RecordRow>, maxBytes: number): RecordRun {
    return this.#snapshot(() => {
      const state = this.#sql.table.get(table) as { id: number; revision: number; floor: number } | undefined;
      if (!state) return { records: [], revision: 0, floor: 0 };
      const records: TableRecord[] = [];
      let bytes = 0;
      for (const [key, revision, data] of rows(state.id)) {
        bytes += data?.byteLength ?? 0;
        if (bytes > maxBytes && records.length > 0) break;
        records.push({ key, revision, data: data ?? undefined });
      }
      return { records, revision: state.revision, floor: state.floor };
    });
  }

  #topic(name: string): TopicRow | undefined {
    return this.#sql.topic.get(name) as TopicRow | undefined;
  }

  #snapshot<T>(read: () => T): T {
    this.#sql.begin.run();
    try {
      return read();
    } finally {
      this.#sql.end.run();
    }
  }
}

type RecordRow = [key: string, revision: number, data: Uint8Array | null];

function prepare(db: DatabaseSync) {
  const sql = {
    begin: db.prepare("BEGIN"),
    end: db.prepare("COMMIT"),
    topic: db.prepare("SELECT id, last, mark, sealed FROM topic WHERE name = ?"),
    entry: db.prepare("SELECT data FROM entry WHERE position = ?"),
    newest: db.prepare("SELECT max(position) AS last FROM entry WHERE topic = ?"),
    entriesAfter: db.prepare(
      "SELECT position, mark, sealed, data FROM entry WHERE topic = ? AND position > ? ORDER BY position LIMIT ?",
    ),
    markAfter: db.prepare(
      "SELECT position, mark FROM entry WHERE topic = ? AND position > ? ORDER BY position LIMIT 1",
    ),
    topics: db.prepare(
      "SELECT name, last, mark, sealed FROM topic WHERE name >= ? AND name < ? AND last > 0 ORDER BY name",
    ),
    table: db.prepare("SELECT id, revision, floor FROM tables WHERE name = ?"),
    record: db.prepare(
      `SELECT record.revision, data FROM record JOIN tables ON tables.id = record.tables
       WHERE name = ? AND key = ? AND data IS NOT NULL`,
    ),
    records: db.prepare("SELECT key, revision, data FROM record WHERE tables = ? AND data IS NOT NULL ORDER BY key"),
    recordsAfter: db.prepare(
      "SELECT key, revision, data FROM record WHERE tables = ? AND revision > ? ORDER BY revision LIMIT ?",
    ),
  };
  // Rows as arrays cost less; only where there may be many of them.
  for (const many of [sql.entriesAfter, sql.topics, sql.records, sql.recordsAfter]) many.setReturnArrays(true);
  return sql;
}

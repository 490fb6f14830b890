import type { TableRecord } from "../store.ts";

/** What a record costs besides its bytes. */
const recordOverheadBytes = 200;

interface RecentTable {
  /** Every change after this revision is here. */
  floor: number;
  /** The changes, by revision without a gap: the first is the one after `floor`. */
  changes: TableRecord[];
  /** The newest of them for each key. */
  readonly newest: Map<string, TableRecord>;
  bytes: number;
}

/**
 * The newest committed changes of each table, up to a number of bytes, so that those who watch a table need no database: it is read once
 * for all of them.
 */
export class RecentRecords {
  readonly #maxBytes: number;
  readonly #tables = new Map<string, RecentTable>();

  /** `maxBytes` is for one table. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes the newest change of a table. */
  add(name: string, record: TableRecord): void {
    let table = this.#tables.get(name);
    const expected = table && table.floor + table.changes.length + 1;
    // Of a commit that failed nobody knows what it changed.
    if (!table || record.revision !== expected) {
      table = { floor: record.revision - 1, changes: [], newest: new Map(), bytes: 0 };
      this.#tables.set(name, table);
    }
    table.changes.push(record);
    table.newest.set(record.key, record);
    table.bytes += cost(record);
    if (table.bytes > this.#maxBytes) drop(table, Math.ceil(table.changes.length / 2));
  }

  /**
   * The newest state of each key that changed after `revision`, by rising revision, no more than the limits allow but one if there is any.
   * Undefined if some of them may not be here.
   */
  after(name: string, revision: number, maxRecords: number, maxBytes: number): TableRecord[] | undefined {
    const table = this.#tables.get(name);
    if (!table || revision < table.floor) return undefined;
    const records: TableRecord[] = [];
    let bytes = 0;
    for (let at = revision - table.floor; at < table.changes.length && records.length < maxRecords; at++) {
      const record = table.changes[at]!;
      if (table.newest.get(record.key) !== record) continue;
      bytes += record.data?.byteLength ?? 0;
      if (bytes > maxBytes && records.length > 0) break;
      records.push(record);
    }
    return records;
  }

  /** Forgets the changes up to a revision. */
  compact(name: string, revision: number): void {
    const table = this.#tables.get(name);
    if (table) drop(table, Math.min(table.changes.length, revision - table.floor));
  }
}

/** Drops so many of the oldest changes. */
function drop(table: RecentTable, count: number): void {
  if (count <= 0) return;
  for (const record of table.changes.slice(0, count)) {
    table.bytes -= cost(record);
    if (table.newest.get(record.key) === record) table.newest.delete(record.key);
  }
  table.changes = table.changes.slice(count);
  table.floor += count;
}

function cost({ data }: TableRecord): number {
  return (data?.byteLength ?? 0) + recordOverheadBytes;
}

import type { Position, TableRecord } from "../store.ts";
import { openForReading } from "./database.ts";
import { FileReader } from "./file-reader.ts";
import type { RecordRun } from "./file-reader.ts";
import { packEntries } from "./packed-entries.ts";
import type { PackedEntries } from "./packed-entries.ts";
import { serveCalls } from "./thread-calls.ts";
import type { Reply } from "./thread-calls.ts";

/** What a reader thread is asked. `open` comes first, `close` last. The functions are those of {@link FileReader}. */
export interface ReaderCalls {
  open(path: string): void;
  end(topic: string): { last: Position; sealed: boolean };
  /** One entry or none. */
  last(topic: string): PackedEntries;
  read(topic: string, from: Position, maxEntries: number, maxBytes: number): PackedEntries;
  find(topic: string, mark: number): Position;
  /** Names, and for each its last position, mark and sealed (0 or 1). */
  topics(prefix: string): { names: string[]; columns: Float64Array<ArrayBuffer> };
  record(table: string, key: string): TableRecord | undefined;
  records(table: string): RecordRun;
  changes(table: string, after: number, maxRecords: number, maxBytes: number): RecordRun;
  close(): void;
}

let reader: FileReader | undefined;

function opened(): FileReader {
  if (!reader) throw new Error("the database is not open");
  return reader;
}

function transferred(entries: PackedEntries): Reply<PackedEntries> {
  return { value: entries, transfer: [entries.columns.buffer, entries.data] };
}

serveCalls<ReaderCalls>({
  open(path) {
    reader = new FileReader(openForReading(path));
    return { value: undefined };
  },
  end: (topic) => ({ value: opened().end(topic) }),
  last(topic) {
    const entry = opened().last(topic);
    return transferred(packEntries(entry ? [entry] : []));
  },
  read: (topic, from, maxEntries, maxBytes) =>
    transferred(packEntries(opened().read(topic, from, maxEntries, maxBytes))),
  find: (topic, mark) => ({ value: opened().find(topic, mark) }),
  topics(prefix) {
    const found = opened().topics(prefix);
    return { value: found, transfer: [found.columns.buffer] };
  },
  record: (table, key) => ({ value: opened().record(table, key) }),
  records: (table) => ({ value: opened().records(table) }),
  changes: (table, after, maxRecords, maxBytes) => ({ value: opened().changes(table, after, maxRecords, maxBytes) }),
  close() {
    reader?.close();
    return { value: undefined };
  },
});

import type { JournalEntry } from "../store.ts";

/** Entries as they travel from a reader thread: two buffers, whatever their number. */
export interface PackedEntries {
  /** Position, mark, sealed (0 or 1) and length of each entry. */
  readonly columns: Float64Array<ArrayBuffer>;
  /** The entries' bytes, one after another. */
  readonly data: ArrayBuffer;
}

const columnCount = 4;

/** Copies entries into two buffers. */
export function packEntries(entries: readonly JournalEntry[]): PackedEntries {
  const columns = new Float64Array(entries.length * columnCount);
  let total = 0;
  let at = 0;
  for (const entry of entries) {
    columns[at++] = entry.position;
    columns[at++] = entry.mark;
    columns[at++] = entry.sealed ? 1 : 0;
    columns[at++] = entry.data.byteLength;
    total += entry.data.byteLength;
  }
  // A single entry, as most large ones are, is handed on as it is.
  const only = entries.length === 1 ? entries[0]!.data : undefined;
  if (only && only.buffer instanceof ArrayBuffer && only.buffer.byteLength === total) {
    return { columns, data: only.buffer };
  }
  const data = new Uint8Array(total);
  let offset = 0;
  for (const entry of entries) {
    data.set(entry.data, offset);
    offset += entry.data.byteLength;
  }
  return { columns, data: data.buffer };
}

/** The entries again, as views of the shared buffer. */
export function unpackEntries({ columns, data }: PackedEntries): JournalEntry[] {
  const entries: JournalEntry[] = [];
  let offset = 0;
  for (let at = 0; at < columns.length; at += columnCount) {
    const bytes = columns[at + 3]!;
    entries.push({
      position: columns[at]!,
      mark: columns[at + 1]!,
      sealed: columns[at + 2] === 1,
      data: new Uint8Array(data, offset, bytes),
    });
    offset += bytes;
  }
  return entries;
}

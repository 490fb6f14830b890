import { Compacted } from "../store.ts";
import type { Table, TableRecord } from "../store.ts";
import { assertData, assertName } from "./limits.ts";
import type { StoreFile } from "./store-file.ts";

/** Bounds of one run of a watch. */
const runRecords = 1_000;
const runBytes = 1024 * 1024;

/** One table in a file. */
export class FileTable implements Table {
  readonly #file: StoreFile;
  readonly #name: string;

  constructor(file: StoreFile, name: string) {
    this.#file = file;
    this.#name = name;
  }

  async get(key: string): Promise<TableRecord | undefined> {
    this.#check(key);
    return this.#file.reader.call("record", [this.#name, key]);
  }

  async put(key: string, data: Uint8Array, { ifRevision }: { ifRevision?: number } = {}): Promise<number> {
    this.#check(key);
    assertData(data);
    const bytes = data.byteLength;
    return this.#file.commits.change({ kind: "put", table: this.#name, key, bytes, ifRevision }, data);
  }

  async delete(key: string, { ifRevision }: { ifRevision?: number } = {}): Promise<void> {
    this.#check(key);
    await this.#file.commits.change({ kind: "delete", table: this.#name, key, ifRevision });
  }

  async list(): Promise<{ readonly records: readonly TableRecord[]; readonly revision: number }> {
    this.#file.assertOpen();
    const { records, revision } = await this.#file.reader.call("records", [this.#name]);
    return { records, revision };
  }

  async *watch(fromRevision: number, signal: AbortSignal): AsyncGenerator<readonly TableRecord[], void, void> {
    let revision = fromRevision;
    for (;;) {
      const records = await this.#changes(revision, signal);
      const newest = records.at(-1);
      if (!newest) return;
      yield records;
      revision = newest.revision;
    }
  }

  async compact(revision: number): Promise<void> {
    this.#file.assertOpen();
    await this.#file.commits.change({ kind: "compact", table: this.#name, revision });
  }

  /** The next changes, as soon as there are any; none if the signal aborts. */
  async #changes(after: number, signal: AbortSignal): Promise<readonly TableRecord[]> {
    this.#file.assertOpen();
    using news = this.#file.tables.watch(this.#name);
    while (!signal.aborted) {
      const seen = news.count;
      const recent = this.#file.records.after(this.#name, after, runRecords, runBytes);
      if (recent && recent.length > 0) return recent;
      if (recent) {
        await news.changed(seen, signal);
        continue;
      }
      const { records, floor } = await this.#file.reader.call("changes", [this.#name, after, runRecords, runBytes]);
      if (floor > after) throw new Compacted(`changes of ${this.#name} after ${after} are known from ${floor} only`);
      if (records.length > 0) return records;
      await news.changed(seen, signal);
    }
    return [];
  }

  #check(key: string): void {
    assertName(key);
    this.#file.assertOpen();
  }
}

import type { WatchResponse } from "@signalbox/protocol";
import type { TableRecord } from "../store/store.ts";
import { Pulse } from "./pulse.ts";

/** The most in a message; and in the first one of a list, so that a page has rows to paint before it reads the rest. */
export const runBytes = 256 * 1024;
const firstRunBytes = 16 * 1024;
/**
 * Between two messages of changes there is so much time, milliseconds: the first change goes at once, of many that follow the newest states go
 * together. Nobody sees more, and fifty pages that watch a busy room cost a few messages a second each instead of one for each commit.
 */
const gapMs = 50;

/** Changes as messages, each with the revision that it reaches. */
export type Messages = readonly (readonly [WatchResponse["message"], number])[];

/** What readers of tables share: the moments at which they go on, and what they are given when they stand at the same place. */
export class TableReaders {
  readonly pulse = new Pulse(gapMs);
  /** The newest messages of each table: after which revision, up to which, and of how many records. */
  readonly #newest = new Map<string, { from: number; to: number; count: number; messages: Messages }>();

  /** The messages of a run of changes after `from`. Readers get the same objects, and must not change them. */
  messages(watched: WatchedTable, run: readonly TableRecord[], from: number): Messages {
    const to = run.at(-1)?.revision ?? from;
    const known = this.#newest.get(watched.name);
    // A record leaves a run only when it changes again, and comes back behind its end: as many up to the same end are the same.
    if (known?.from === from && known.to === to && known.count === run.length) return known.messages;
    const made = [...messages(watched, run, false)];
    this.#newest.set(watched.name, { from, to, count: run.length, messages: made });
    return made;
  }
}

/** A table that can be watched. */
export interface WatchedTable {
  readonly name: string;
  /** The newest revision when the watch begins: with it the reader has caught up. */
  readonly revision: number;
  /** A stored record in the form in which it travels; undefined if it is gone. */
  readonly encode: (record: TableRecord) => Uint8Array | undefined;
  /** Makes a message of records and of keys that are gone. */
  readonly message: (records: readonly Uint8Array[], gone: string[]) => WatchResponse["message"];
}

/** Records in messages of bounded size, each with the revision that it reaches. */
export function* messages(
  { encode, message }: WatchedTable,
  run: readonly TableRecord[],
  isFirst: boolean,
): Generator<readonly [WatchResponse["message"], number]> {
  let records: Uint8Array[] = [];
  let gone: string[] = [];
  let bytes = 0;
  let most = isFirst ? firstRunBytes : runBytes;
  for (const [index, record] of run.entries()) {
    const encoded = encode(record);
    if (encoded) records.push(encoded);
    else gone.push(record.key);
    bytes += encoded?.length ?? record.key.length;
    if (bytes < most && index < run.length - 1) continue;
    yield [message(records, gone), record.revision];
    most = runBytes;
    records = [];
    gone = [];
    bytes = 0;
  }
}

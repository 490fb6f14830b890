import { create } from "@bufbuild/protobuf";
import { CaughtUpSchema, CursorKind, ResetSchema, type Subscription, type WatchResponse } from "@signalbox/protocol";
import { Compacted, type TableRecord } from "../store/store.ts";
import { pause } from "../pause.ts";
import type { LiveParts } from "./live-parts.ts";
import { step } from "./step.ts";

/** The most in a message; and in the first one of a list, so that a page has rows to paint before it reads the rest. */
const runBytes = 256 * 1024;
const firstRunBytes = 16 * 1024;
/**
 * Between two messages of changes there is so much time, milliseconds: the first change goes at once, of many that follow the newest states go
 * together. Nobody sees more, and fifty pages that watch a busy room cost a few messages a second each instead of one for each commit.
 */
const gapMs = 50;

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

/**
 * Follows the newest record of every key of a table: all of them, `caught_up`, then changes. After a cursor that is too old it begins
 * with `reset` and the whole list.
 */
export async function* watchTable(
  parts: LiveParts,
  subscription: Subscription,
  watched: WatchedTable,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const { id } = subscription;
  const table = parts.store.table(watched.name);
  const cursor = (revision: number) => parts.cursors.make(CursorKind.TABLE, watched.name, revision);
  let from = parts.cursors.read(subscription.cursor, CursorKind.TABLE, watched.name);
  if (from === undefined && subscription.cursor.length > 0)
    yield step(id, { case: "reset", value: create(ResetSchema, { reason: "another store" }) });
  let caughtUp = false;
  for (;;) {
    try {
      if (!caughtUp && (from ?? 0) >= watched.revision) {
        caughtUp = true;
        yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) }, cursor(from ?? 0));
      }
      for await (const run of table.watch(from ?? 0, signal)) {
        for (const [message, revision] of messages(watched, run, from === undefined)) {
          from = revision;
          yield step(id, message, cursor(revision));
        }
        if (!caughtUp && (from ?? 0) >= watched.revision) {
          caughtUp = true;
          yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) });
        } else if (caughtUp) await pause(gapMs, signal);
      }
      return;
    } catch (error) {
      if (!(error instanceof Compacted)) throw error;
    }
    // What was deleted since is forgotten: all that there is comes instead, and no cursor before it is complete.
    yield step(id, { case: "reset", value: create(ResetSchema, { reason: "the cursor is too old" }) });
    const { records, revision } = await table.list();
    const all = [...records].sort((a, b) => a.revision - b.revision);
    for (const [message] of messages(watched, all, true)) yield step(id, message);
    from = revision;
    caughtUp = true;
    yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) }, cursor(revision));
  }
}

/** Records in messages of bounded size, each with the revision that it reaches. */
function* messages(
  { encode, message }: WatchedTable,
  run: readonly TableRecord[],
  isFirst: boolean,
): Generator<[WatchResponse["message"], number]> {
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

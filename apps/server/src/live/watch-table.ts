import { create } from "@bufbuild/protobuf";
import { CaughtUpSchema, CursorKind, ResetSchema, type Subscription, type WatchResponse } from "@signalbox/protocol";
import { Compacted, type TableRecord } from "../store/store.ts";
import type { LiveParts } from "./live-parts.ts";
import { step } from "./step.ts";
import { messages, runBytes, type Messages, type WatchedTable } from "./table-readers.ts";
import type { Turns } from "./turns.ts";

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
        const made: Iterable<Messages[number]> =
          caughtUp && from !== undefined
            ? parts.tableReaders.messages(watched, run, from)
            : messages(watched, run, from === undefined);
        for await (const [message, revision] of caughtUp ? made : inTurns(parts.turns, made, run, signal)) {
          from = revision;
          yield step(id, message, cursor(revision));
        }
        if (!caughtUp && (from ?? 0) >= watched.revision) {
          caughtUp = true;
          yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) });
        } else if (caughtUp) await parts.tableReaders.pulse.wait(signal);
      }
      return;
    } catch (error) {
      if (!(error instanceof Compacted)) throw error;
    }
    // What was deleted since is forgotten: all that there is comes instead, and no cursor before it is complete.
    yield step(id, { case: "reset", value: create(ResetSchema, { reason: "the cursor is too old" }) });
    const { records, revision } = await table.list();
    const all = [...records].sort((a, b) => a.revision - b.revision);
    for await (const [message] of inTurns(parts.turns, messages(watched, all, true), all, signal))
      yield step(id, message);
    if (signal.aborted) return;
    from = revision;
    caughtUp = true;
    yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) }, cursor(revision));
  }
}

/** Makes the messages of a list in turns with other readers. Ends early when `signal` aborts. */
async function* inTurns(
  turns: Turns,
  made: Iterable<Messages[number]>,
  run: readonly TableRecord[],
  signal: AbortSignal,
): AsyncGenerator<Messages[number]> {
  let left = run.reduce((sum, { data }) => sum + (data?.length ?? 0), 0);
  const iterator = made[Symbol.iterator]();
  for (;;) {
    await turns.take(Math.min(left, runBytes), signal);
    left = Math.max(0, left - runBytes);
    const next = signal.aborted ? undefined : iterator.next();
    if (!next || next.done) return;
    yield next.value;
  }
}

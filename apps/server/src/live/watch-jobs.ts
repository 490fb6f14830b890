import { create } from "@bufbuild/protobuf";
import {
  CaughtUpSchema,
  ResetSchema,
  CursorKind,
  JobRecordsSchema,
  JobTypesSchema,
  addRawMessages,
  type Subscription,
  type WatchResponse,
} from "@signalbox/protocol";
import { jobsTable } from "../jobs/jobs.ts";
import { Compacted, type TableRecord } from "../store/store.ts";
import type { LiveParts } from "./live-parts.ts";
import { pause } from "../pause.ts";
import { step } from "./step.ts";

const recordsField = 1;
const runBytes = 256 * 1024;
const typesEveryMs = 250;

/** Follows the newest record of every job: all of them, `caught_up`, then changes. Records go out as they are stored. */
export async function* watchJobs(
  parts: LiveParts,
  subscription: Subscription,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const { id } = subscription;
  const table = parts.store.table(jobsTable);
  const cursor = (revision: number) => parts.cursors.make(CursorKind.TABLE, jobsTable, revision);
  let from = parts.cursors.read(subscription.cursor, CursorKind.TABLE, jobsTable);
  if (from === undefined && subscription.cursor.length > 0)
    yield step(id, { case: "reset", value: create(ResetSchema, { reason: "another store" }) });
  let caughtUp = false;
  const target = parts.jobs.revision;
  for (;;) {
    try {
      if (!caughtUp && (from ?? 0) >= target) {
        caughtUp = true;
        yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) }, cursor(from ?? 0));
      }
      for await (const run of table.watch(from ?? 0, signal)) {
        for (const [message, revision] of messages(run)) {
          from = revision;
          yield step(id, message, cursor(revision));
        }
        if (!caughtUp && (from ?? 0) >= target) {
          caughtUp = true;
          yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) });
        }
      }
      return;
    } catch (error) {
      if (!(error instanceof Compacted)) throw error;
    }
    // What was deleted since is forgotten: all that there is comes instead, and no cursor before it is complete.
    yield step(id, { case: "reset", value: create(ResetSchema, { reason: "the cursor is too old" }) });
    const { records, revision } = await table.list();
    for (const [message] of messages([...records].sort((a, b) => a.revision - b.revision))) yield step(id, message);
    from = revision;
    caughtUp = true;
    yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) }, cursor(revision));
  }
}

/** Records in messages of bounded size, each with the revision that it reaches. */
function* messages(run: readonly TableRecord[]): Generator<[WatchResponse["message"], number]> {
  let records: Uint8Array[] = [];
  let gone: string[] = [];
  let bytes = 0;
  for (const [index, { key, data, revision }] of run.entries()) {
    if (data) records.push(data);
    else gone.push(key);
    bytes += data?.length ?? key.length;
    if (bytes < runBytes && index < run.length - 1) continue;
    const value = create(JobRecordsSchema, { gone });
    addRawMessages(value, recordsField, records);
    yield [{ case: "records", value }, revision];
    records = [];
    gone = [];
    bytes = 0;
  }
}

/** Follows the offered job types: now, and whenever they change. */
export async function* watchJobTypes(
  parts: LiveParts,
  subscription: Subscription,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  let seen = 0;
  while (!signal.aborted) {
    const version = parts.workers.typesVersion;
    if (version !== seen) {
      seen = version;
      yield step(subscription.id, {
        case: "jobTypes",
        value: create(JobTypesSchema, { types: parts.workers.offeredTypes() }),
      });
    }
    await pause(typesEveryMs, signal);
  }
}

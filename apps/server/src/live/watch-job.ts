import { create } from "@bufbuild/protobuf";
import {
  CaughtUpSchema,
  ResetSchema,
  addRawMessages,
  CursorKind,
  JobEntriesSchema,
  type JobSubscription,
  type Subscription,
  type WatchResponse,
} from "@signalbox/protocol";
import { jobTopic } from "../jobs/job.ts";
import type { LiveParts } from "./live-parts.ts";
import { step } from "./step.ts";

const entriesField = 1;
const runLimit = { maxBytes: 256 * 1024 };

/** Follows the entries of one job: all of them, `caught_up`, then new ones. Entries go out as they are stored. Throws Refused. */
export async function* watchJob(
  parts: LiveParts,
  subscription: Subscription,
  job: JobSubscription,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const { id } = subscription;
  parts.jobs.get(job.jobId);
  const topic = jobTopic(job.jobId);
  let from = parts.cursors.read(subscription.cursor, CursorKind.JOURNAL, topic);
  if (from === undefined && subscription.cursor.length > 0)
    yield step(id, { case: "reset", value: create(ResetSchema, { reason: "another store" }) });
  from ??= 0;
  const target = (await parts.store.journal.last(topic))?.position ?? 0;
  let caughtUp = from >= target;
  if (caughtUp) yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) });
  for await (const run of parts.store.journal.tail(topic, from, signal, runLimit)) {
    const newest = run.at(-1)?.position ?? from;
    const message = create(JobEntriesSchema);
    addRawMessages(
      message,
      entriesField,
      run.map(({ data }) => data),
    );
    yield step(id, { case: "entries", value: message }, parts.cursors.make(CursorKind.JOURNAL, topic, newest));
    if (!caughtUp && newest >= target) {
      caughtUp = true;
      yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) });
    }
  }
}

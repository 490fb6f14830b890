import { create } from "@bufbuild/protobuf";
import {
  LogSubscriptionSchema,
  StartJobAndWatchResponseSchema,
  SubscriptionSchema,
  type StartJobAndWatchResponse,
  type WatchResponse,
} from "@signalbox/protocol";
import type { Job } from "../jobs/job.ts";
import { hasEnded } from "../jobs/job-record.ts";
import { JobView } from "./job-view.ts";
import type { LiveParts } from "./live-parts.ts";
import { merge } from "./merge.ts";
import { watchLog } from "./watch-log.ts";
import { watchVitals } from "./watch-vitals.ts";

/** Follows one job: its record at once, then what changes, with its lines if they are wanted; its record in an end state is last. */
export async function* followJob(
  parts: LiveParts,
  job: Job,
  withLog: boolean,
  heartbeats: (signal: AbortSignal) => AsyncGenerator<WatchResponse>,
  signal: AbortSignal,
): AsyncGenerator<StartJobAndWatchResponse> {
  const view = new JobView(parts.store.journal, job);
  if (!hasEnded(view.record)) yield response({ case: "job", value: view.record });
  const over = new AbortController();
  let follows = 2;
  const untilBoth = async function* (source: AsyncGenerator<StartJobAndWatchResponse>) {
    yield* source;
    if (--follows === 0) over.abort();
  };
  yield* merge(
    (stop) => [
      untilBoth(records(view, stop)),
      untilBoth(withLog ? lines(parts, view, stop) : nothing()),
      vitals(parts, job, stop),
      beats(heartbeats(stop)),
    ],
    AbortSignal.any([signal, over.signal]),
  );
  if (!signal.aborted) yield response({ case: "job", value: view.record });
}

/** All but the last one, which is told when everything else is. */
async function* records(view: JobView, signal: AbortSignal): AsyncGenerator<StartJobAndWatchResponse> {
  for await (const record of view.records(signal))
    if (!hasEnded(record)) yield response({ case: "job", value: record });
}

/** The lines of each attempt, from the first one that is there on. */
async function* lines(parts: LiveParts, view: JobView, signal: AbortSignal): AsyncGenerator<StartJobAndWatchResponse> {
  const { id: jobId } = view.record;
  const start = { case: "fromLine", value: 1n } as const;
  let attempt = view.record.attempts[0]?.number ?? (await view.attemptAfter(0, signal));
  for (; attempt !== undefined; attempt = await view.attemptAfter(attempt, signal)) {
    const log = create(LogSubscriptionSchema, { jobId, attempt, start });
    const subscription = create(SubscriptionSchema, { id: "log", kind: { case: "log", value: log } });
    for await (const { message } of watchLog(parts, subscription, log, signal))
      if (message.case === "log") yield response(message);
  }
}

async function* vitals(parts: LiveParts, job: Job, signal: AbortSignal): AsyncGenerator<StartJobAndWatchResponse> {
  for await (const { message } of watchVitals(parts, "", job.id, signal)) {
    if (message.case !== "vitals") continue;
    const value = parts.jobs.vitals.get(job.id);
    if (value) yield response({ case: "vitals", value });
  }
}

async function* beats(source: AsyncGenerator<WatchResponse>): AsyncGenerator<StartJobAndWatchResponse> {
  for await (const { message } of source) if (message.case === "heartbeat") yield response(message);
}

async function* nothing(): AsyncGenerator<StartJobAndWatchResponse> {
  yield* [];
}

function response(event: StartJobAndWatchResponse["event"]): StartJobAndWatchResponse {
  return create(StartJobAndWatchResponseSchema, { event });
}

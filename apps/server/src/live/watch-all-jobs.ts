import { create } from "@bufbuild/protobuf";
import {
  SubscriptionSchema,
  WatchJobsResponseSchema,
  type WatchJobsResponse,
  type WatchResponse,
} from "@signalbox/protocol";
import type { LiveParts } from "./live-parts.ts";
import { merge } from "./merge.ts";
import { watchJobs } from "./watch-jobs.ts";
import { watchVitals } from "./watch-vitals.ts";

/** Follows the newest record of each job from a cursor on, with progress: the jobs of `Watch` on a stream of their own. Throws Refused. */
export async function* watchAllJobs(
  parts: LiveParts,
  cursor: Uint8Array,
  heartbeats: (signal: AbortSignal) => AsyncGenerator<WatchResponse>,
  signal: AbortSignal,
): AsyncGenerator<WatchJobsResponse> {
  const subscription = create(SubscriptionSchema, { id: "jobs", cursor });
  const responses = merge(
    (stop) => [
      watchJobs(parts, subscription, stop),
      watchVitals(parts, subscription.id, undefined, stop),
      heartbeats(stop),
    ],
    signal,
  );
  for await (const { message, cursor } of responses)
    if (isOfJobs(message)) yield create(WatchJobsResponseSchema, { message, cursor });
}

type OfJobs = Extract<WatchResponse["message"], { case: WatchJobsResponse["message"]["case"] }>;

const casesOfJobs: ReadonlySet<WatchResponse["message"]["case"]> = new Set<OfJobs["case"]>([
  "records",
  "vitals",
  "caughtUp",
  "reset",
  "heartbeat",
]);

function isOfJobs(message: WatchResponse["message"]): message is OfJobs {
  return casesOfJobs.has(message.case);
}

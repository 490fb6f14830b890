import { create } from "@bufbuild/protobuf";
import { addRawMessages, VitalsBatchSchema, type WatchResponse } from "@signalbox/protocol";
import type { LiveParts } from "./live-parts.ts";
import { pause } from "../pause.ts";
import { step } from "./step.ts";

const vitalsField = 1;
const everyMs = 250;
/** A message of more would be long to read for a page that has other things to show, and with many more too large to send. */
const batchJobs = 250;

/** Follows vitals, of all jobs or of one, at most four times a second. */
export async function* watchVitals(
  parts: LiveParts,
  subscriptionId: string,
  jobId: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  let seen = 0;
  while (!signal.aborted) {
    const changed = parts.jobs.vitals.changedSince(seen, jobId);
    seen = parts.jobs.vitals.version;
    for (let from = 0; from < changed.length; from += batchJobs) {
      const batch = create(VitalsBatchSchema);
      addRawMessages(batch, vitalsField, changed.slice(from, from + batchJobs));
      yield step(subscriptionId, { case: "vitals", value: batch });
    }
    await pause(everyMs, signal);
  }
}

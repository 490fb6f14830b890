import type { JobRecord } from "@signalbox/protocol";
import { duration } from "@signalbox/protocol/format";
import { seenState } from "@signalbox/protocol/job-state";
import { sanitise } from "./sanitise.ts";

/** How a job ended: `nightly: failed after 4 m 2 s: exit code 3`. */
export function endWords(job: JobRecord): string {
  const ran = job.startedAtUs > 0n ? ` after ${duration(Number(job.endedAtUs - job.startedAtUs) / 1000)}` : "";
  return `${sanitise(job.name)}: ${seenState(job).word.toLowerCase()}${ran}${job.reason ? `: ${sanitise(job.reason)}` : ""}`;
}

import type { JobRecord } from "@signalbox/protocol";
import { duration } from "@signalbox/protocol/format";
import { seenState } from "@signalbox/protocol/job-state";
import { sanitise } from "./sanitise.ts";

/** How a job ended: `nightly: failed after 4 m 2 s: exit code 3`. */
export function endWords(job: JobRecord): string {
  const ran = job.startedAtUs > 0n ? ` after ${duration(Number(job.endedAtUs - job.startedAtUs) / 1000)}` : "";
  const outcome = seenState(job).word.toLowerCase();
  const reason = job.reason && job.reason.toLowerCase() !== outcome ? `: ${sanitise(job.reason)}` : "";
  return `${sanitise(job.name)}: ${outcome}${ran}${reason}`;
}

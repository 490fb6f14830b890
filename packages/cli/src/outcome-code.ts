import { JobState, type JobRecord } from "@signalbox/protocol";
import { exitCodes } from "./exit-codes.ts";

/** The exit code that a job's end means: 0 if it succeeded, else that of its program, if there was one, else 1. */
export function outcomeCode(job: JobRecord): number {
  if (job.state === JobState.SUCCEEDED) return exitCodes.ok;
  const code = job.attempts.at(-1)?.end?.exitCode ?? 0;
  return code > 0 && code <= 255 ? code : exitCodes.failed;
}

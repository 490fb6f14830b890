import { constants } from "node:os";
import { JobState, type JobRecord } from "@signalbox/protocol";
import { namelessSignal } from "@signalbox/protocol/progress";
import { exitCodes } from "./exit-codes.ts";

/** The exit code that a job's end means: 0 if it succeeded; else that of its program, 128 + the signal that ended it, or 1. */
export function outcomeCode(job: JobRecord): number {
  if (job.state === JobState.SUCCEEDED) return exitCodes.ok;
  const end = job.attempts.at(-1)?.end;
  const named = Object.entries(constants.signals).find(([name]) => name === end?.signal)?.[1];
  const signal = named ?? (end && namelessSignal(end));
  const code = end?.exitCode ?? (signal === undefined ? 0 : 128 + signal);
  return code > 0 && code <= 255 ? code : exitCodes.failed;
}

import { JobState, type JobRecord } from "@signalbox/protocol";

export * from "@signalbox/protocol/job-state";

/** Whether the job needs a person: it is lost, or it failed within the last day. `nowMs` is the server's clock. */
export function needsPerson(job: JobRecord, nowMs: number): boolean {
  if (job.state === JobState.LOST) return true;
  return job.state === JobState.FAILED && nowMs - Number(job.endedAtUs) / 1000 < 86_400_000;
}

/** Whether another attempt can be asked for: the job failed or was canceled. */
export function canRetry(job: JobRecord): boolean {
  return job.state === JobState.FAILED || job.state === JobState.CANCELED;
}

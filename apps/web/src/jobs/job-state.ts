import { JobState, type JobRecord } from "@signalbox/protocol";

export * from "@signalbox/protocol/job-state";

/** Whether another attempt can be asked for: the job failed or was canceled. */
export function canRetry(job: JobRecord): boolean {
  return job.state === JobState.FAILED || job.state === JobState.CANCELED;
}

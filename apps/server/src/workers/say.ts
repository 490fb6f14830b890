import type { Clock } from "../clock.ts";
import type { Job } from "../jobs/job.ts";
import { openAttempt } from "../jobs/job-record.ts";
import { attemptSpec, down, type WorkerSession } from "./worker-session.ts";

// What a worker is told of an attempt. Each is made at the moment at which it is sent.

/** What is wanted of the job's open attempt, if it is the session's. */
export function saySpec(session: WorkerSession, job: Job, clock: Clock): void {
  session.say(`spec ${job.id}`, () => {
    const { takingBack } = job;
    if (takingBack) {
      void takingBack.then(() => saySpec(session, job, clock));
      return undefined;
    }
    const open = openAttempt(job.record);
    const spec = open?.incarnation === session.incarnation ? attemptSpec(job.record, clock()) : undefined;
    if (spec) job.noteSent();
    return spec && down({ case: "spec", value: spec });
  });
}

/** The end of an attempt is stored: the worker may forget it. */
export function sayEndAccepted(session: WorkerSession, jobId: string, attempt: number): void {
  session.say(`end ${jobId} ${attempt}`, () =>
    down({ case: "endAccepted", value: { $typeName: "signalbox.v1.EndAccepted", jobId, attempt } }),
  );
}

/** The attempt is not the worker's any more. */
export function sayFenced(session: WorkerSession, jobId: string, attempt: number, reason: string): void {
  session.say(`end ${jobId} ${attempt}`, () =>
    down({ case: "fenced", value: { $typeName: "signalbox.v1.Fenced", jobId, attempt, reason } }),
  );
}

import { create } from "@bufbuild/protobuf";
import {
  AttemptEndSchema,
  AttemptSchema,
  EndOutcome,
  JobRecordSchema,
  JobSpecSchema,
  JobState,
  RunMode,
  type Actor,
  type Attempt,
  type JobRecord,
  type LeverValue,
} from "@signalbox/protocol";
import { Refused } from "../refused.ts";
import {
  begin,
  endJob,
  observe,
  openAttempt,
  setState,
  stateWord,
  longestEndReason,
  obeyInQueue,
} from "./job-record.ts";
import { setLever, wantedRun, restValue } from "./levers.ts";
import { workerGoneWords } from "./only-worker.ts";

// The state machine of a job. Pure: each function takes the record and what happened and returns the record after it, without
// changing its argument. A function that returns undefined says that nothing changes. Times are server clock, microseconds.
//
//   QUEUED -> RUNNING <-> PAUSED -> SUCCEEDED | FAILED | CANCELED
//   any state with an open attempt -> LOST -> back, or given up
//
// The state is what was observed. Only `foldReport`, `foldLost`, `foldBack` and the ends change it; a command never does, except on
// a job that no worker has.
//
// Commands are folded in fold-command.ts, reports of workers in fold-report.ts, what comes of attempts that were given up in
// fold-late.ts; here is the rest of a job's life.

/** How long a lost attempt is waited for before it may be given up. */
export const giveUpAfterUs = 45_000_000;
const keptAttempts = 20;

/** What a new job is made of; everything is checked already. */
export interface NewJob {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly labels: Record<string, string>;
  /** In the order in which they get their generations; `run` and `parameters` are there. */
  readonly levers: readonly LeverValue[];
  /** The only worker that may run it; empty: any. */
  readonly workerId: string;
  readonly actor: Actor;
  readonly startDigest: Uint8Array;
}

/** The record of a job that was just started. */
export function newRecord(job: NewJob, now: number): JobRecord {
  const spec = create(JobSpecSchema);
  for (const value of job.levers) setLever(spec, value);
  const at = BigInt(now);
  return create(JobRecordSchema, {
    id: job.id,
    name: job.name,
    type: job.type,
    labels: job.labels,
    state: JobState.QUEUED,
    spec,
    workerId: job.workerId,
    createdBy: job.actor,
    createdAtUs: at,
    queuedAtUs: at,
    stateSinceUs: at,
    startDigest: job.startDigest,
  });
}

/** The record after the queue chose a worker. Throws Refused unless the job waits. */
export function foldAssign(
  before: JobRecord,
  worker: { workerId: string; incarnation: string; metadata: Record<string, string>; clockOffsetUs: number },
  now: number,
): JobRecord {
  if (before.state !== JobState.QUEUED || openAttempt(before) || wantedRun(before.spec) !== RunMode.RUN) {
    throw new Refused("wrong-state", "Only a job that waits can be assigned.");
  }
  if (before.workerId !== "" && before.workerId !== worker.workerId)
    throw new Refused("wrong-state", `Only worker ${before.workerId} may run this job.`);
  const record = begin(before);
  const newest = record.attempts.at(-1);
  record.attempts.push(
    create(AttemptSchema, {
      number: (newest?.number ?? 0) + 1,
      workerId: worker.workerId,
      incarnation: worker.incarnation,
      metadata: worker.metadata,
      clockOffsetUs: BigInt(worker.clockOffsetUs),
      assignedAtUs: BigInt(now),
      checkpoint: newest?.checkpoint ?? new Uint8Array(),
    }),
  );
  // It goes from attempt to attempt; a copy with each would be in every entry.
  if (newest) newest.checkpoint = new Uint8Array();
  record.attempts = record.attempts.slice(-keptAttempts);
  const oldest = record.attempts[0]?.number ?? 0;
  record.late = record.late.filter(({ attempt }) => attempt >= oldest);
  record.reason = "";
  return record;
}

/** The record after the lease of the open attempt's worker ran out, or another process took its name; undefined if already lost. */
export function foldLost(before: JobRecord, reason: string, now: number): JobRecord | undefined {
  const open = openAttempt(before);
  if (!open || open.lostAtUs !== 0n) return undefined;
  const record = begin(before);
  const attempt = openAttempt(record);
  if (attempt) attempt.lostAtUs = BigInt(now);
  setState(record, JobState.LOST, reason, now);
  return record;
}

/**
 * The record after the name of the only worker that may run the job was forgotten: it would wait for ever. Undefined if the job does not
 * wait, or for any worker.
 */
export function foldWorkerGone(before: JobRecord, now: number): JobRecord | undefined {
  if (before.workerId === "" || before.state !== JobState.QUEUED || openAttempt(before)) return undefined;
  const record = begin(before);
  endJob(record, JobState.FAILED, workerGoneWords(before.workerId), now);
  return record;
}

/** The record after the same process was heard again; undefined if the attempt was not lost. */
export function foldBack(before: JobRecord, now: number): JobRecord | undefined {
  if (!openAttempt(before)?.lostAtUs) return undefined;
  const record = begin(before);
  const attempt = openAttempt(record);
  if (!attempt) return undefined;
  attempt.lostAtUs = 0n;
  observe(record, attempt, now);
  return record;
}

/** The record after an operator gave a lost attempt up. Throws Refused unless it has been lost for 45 s. */
export function foldGiveUp(before: JobRecord, reason: string, now: number): JobRecord {
  const record = begin(before);
  const attempt = lostLongEnough(record, now);
  closeGivenUp(attempt, reason, now);
  const canceled = wantedRun(record.spec) === RunMode.CANCEL;
  endJob(record, canceled ? JobState.CANCELED : JobState.FAILED, "given up; the process may still run", now);
  return record;
}

/** The record after somebody asked for another attempt. Throws Refused unless the job failed, was canceled, or has been lost for 45 s. */
export function foldRetry(before: JobRecord, parameters: LeverValue | undefined, now: number): JobRecord {
  // What was to be canceled is canceled first; it can be retried after that.
  if (before.state === JobState.LOST && wantedRun(before.spec) === RunMode.CANCEL)
    return foldGiveUp(before, "given up by a retry", now);
  const record = begin(before);
  if (record.state === JobState.LOST)
    closeGivenUp(lostLongEnough(record, now), "given up for a retry; the process may still run", now);
  else if (record.state !== JobState.FAILED && record.state !== JobState.CANCELED) {
    throw new Refused(
      "wrong-state",
      `The job is ${stateWord(record.state)}. Only a job that failed, was canceled, or is lost can be retried.`,
    );
  }
  const spec = (record.spec ??= create(JobSpecSchema));
  if (parameters) setLever(spec, parameters);
  if (wantedRun(spec) !== RunMode.RUN) setLever(spec, restValue("run"));
  record.endedAtUs = 0n;
  record.queuedAtUs = BigInt(now);
  setState(record, JobState.QUEUED, "", now);
  obeyInQueue(record, now);
  return record;
}

function lostLongEnough(record: JobRecord, now: number): Attempt {
  const attempt = openAttempt(record);
  if (!attempt || record.state !== JobState.LOST) {
    throw new Refused(
      "wrong-state",
      `The job is ${stateWord(record.state)}. Only a lost attempt can be given up; use Cancel to end one whose worker answers.`,
    );
  }
  const waitedUs = now - Number(attempt.lostAtUs);
  if (waitedUs < giveUpAfterUs) {
    const secondsLeft = Math.ceil((giveUpAfterUs - waitedUs) / 1e6);
    throw new Refused(
      "wrong-state",
      `The worker may still come back. The attempt can be given up in ${secondsLeft} s.`,
    );
  }
  return attempt;
}

function closeGivenUp(attempt: Attempt, reason: string, now: number): void {
  attempt.end = create(AttemptEndSchema, { outcome: EndOutcome.GIVEN_UP, reason: reason.slice(0, longestEndReason) });
  attempt.endedAtUs = BigInt(now);
}

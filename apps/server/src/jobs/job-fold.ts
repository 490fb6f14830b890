import { create, equals } from "@bufbuild/protobuf";
import {
  AttemptSchema,
  JobRecordSchema,
  JobSpecSchema,
  JobState,
  LeverValueSchema,
  RunMode,
  type Actor,
  type Attempt,
  type Deadline,
  type JobRecord,
  type LeverValue,
  type RetryPolicy,
} from "@signalbox/protocol";
import { Refused } from "../refused.ts";
import { keepClock } from "./attempt-clock.ts";
import { closeGivenUp, giveUpAfterUs, queueAgain, wantsEnd } from "./fold-again.ts";
import { begin, endJob, observe, openAttempt, setState, stateWord } from "./job-record.ts";
import { setLever, settingOf, wantedRun, restValue } from "./levers.ts";
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
// Commands are folded in fold-command.ts, reports of workers in fold-report.ts, what a job's own policies do in fold-again.ts, what comes
// of attempts that were given up in fold-late.ts; here is the rest of a job's life.

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
  /** Labels that a worker must have to run it. */
  readonly workerSelector?: Record<string, string>;
  readonly retry?: RetryPolicy | undefined;
  readonly deadline?: Deadline | undefined;
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
    workerSelector: job.workerSelector ?? {},
    ...(job.retry ? { retry: job.retry } : {}),
    ...(job.deadline ? { deadline: job.deadline } : {}),
    createdBy: job.actor,
    createdAtUs: at,
    queuedAtUs: at,
    stateSinceUs: at,
    startDigest: job.startDigest,
  });
}

/** The worker process that the queue chose. */
export interface ChosenWorker {
  readonly workerId: string;
  readonly incarnation: string;
  readonly labels?: Record<string, string>;
  readonly metadata: Record<string, string>;
  readonly clockOffsetUs: number;
}

/** The record after the queue chose a worker. Throws Refused unless the job waits, and for a worker that may not run it. */
export function foldAssign(before: JobRecord, worker: ChosenWorker, now: number): JobRecord {
  if (before.state !== JobState.QUEUED || openAttempt(before) || wantedRun(before.spec) !== RunMode.RUN) {
    throw new Refused("wrong-state", "Only a job that waits can be assigned.");
  }
  if (before.workerId !== "" && before.workerId !== worker.workerId)
    throw new Refused("wrong-state", `Only worker ${before.workerId} may run this job.`);
  if (before.retryAtUs !== 0n) throw new Refused("wrong-state", "The job waits for its next attempt.");
  const missing = missingLabel(before, worker.labels ?? {});
  if (missing !== undefined)
    throw new Refused("wrong-state", `Worker ${worker.workerId} does not have the label ${missing} of this job.`);
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
      parametersChanged: hasNewParameters(before),
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

/** The first label that the job's worker must have and that `labels` does not, as 'key=value'. */
export function missingLabel({ workerSelector }: JobRecord, labels: Record<string, string>): string | undefined {
  for (const [key, value] of Object.entries(workerSelector)) if (labels[key] !== value) return `${key}=${value}`;
  return undefined;
}

/** Whether the parameters were set after the last attempt that had any. */
function hasNewParameters({ spec, attempts }: JobRecord): boolean {
  const had = attempts.findLast(({ receivedGeneration }) => receivedGeneration !== 0n);
  return had !== undefined && (settingOf(spec, "parameters")?.generation ?? 0n) > had.receivedGeneration;
}

/** Why an attempt is lost whose worker's name another process took while it was heard. */
export const replacedReason = "worker restarted: another process has its name";

/** The record after the lease of the open attempt's worker ran out, or another process took its name; undefined if already lost. */
export function foldLost(before: JobRecord, reason: string, now: number): JobRecord | undefined {
  const open = openAttempt(before);
  if (!open || open.lostAtUs !== 0n) return undefined;
  const record = begin(before);
  const attempt = openAttempt(record);
  if (attempt) attempt.lostAtUs = BigInt(now);
  setState(record, JobState.LOST, reason, now);
  if (attempt) keepClock(record, attempt, now);
  return record;
}

/**
 * The record after another process took the name of the worker of an attempt that was lost already: nothing but the reason changes, which
 * spoke of silence. Undefined if the attempt is not lost, or that is said.
 */
export function foldReplaced(before: JobRecord, now: number): JobRecord | undefined {
  const attempt = openAttempt(before);
  if (!attempt?.lostAtUs) return undefined;
  const reason = `worker ${attempt.workerId} came back as another process, which does not have this job`;
  if (before.reason === reason || before.reason === replacedReason) return undefined;
  const record = begin(before);
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
  const canceled = wantsEnd(record, attempt);
  closeGivenUp(record, attempt, reason, now);
  endJob(record, canceled ? JobState.CANCELED : JobState.FAILED, "given up; the process may still run", now);
  return record;
}

/**
 * The record after somebody asked for another attempt. Throws Refused unless the job failed, was canceled, waits to be tried again, or has
 * been lost for 45 s.
 */
export function foldRetry(before: JobRecord, parameters: LeverValue | undefined, now: number): JobRecord {
  const open = openAttempt(before);
  // What was to be canceled is canceled first; it can be retried after that.
  if (before.state === JobState.LOST && open && wantsEnd(before, open))
    return foldGiveUp(before, "given up by a retry", now);
  const record = begin(before);
  const wasLost = record.state === JobState.LOST;
  if (wasLost)
    closeGivenUp(record, lostLongEnough(record, now), "given up for a retry; the process may still run", now);
  else if (record.state !== JobState.FAILED && record.state !== JobState.CANCELED && record.retryAtUs === 0n) {
    throw new Refused(
      "wrong-state",
      `The job is ${stateWord(record.state)}. Only a job that failed, was canceled, or is lost can be retried.`,
    );
  }
  const spec = (record.spec ??= create(JobSpecSchema));
  const had = settingOf(spec, "parameters")?.value;
  if (parameters && !(had && equals(LeverValueSchema, had, parameters))) setLever(spec, parameters);
  // A pause that a lost worker has not carried out stands: nobody has lifted it. What ended with the job does not.
  if (wantedRun(spec) === RunMode.CANCEL || (wantedRun(spec) === RunMode.PAUSE && !wasLost))
    setLever(spec, restValue("run"));
  record.endedAtUs = 0n;
  record.tries = 0;
  queueAgain(record, "", now);
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

import { create } from "@bufbuild/protobuf";
import {
  AttemptEndSchema,
  EndOutcome,
  JobSpecSchema,
  JobState,
  LeverValueSchema,
  ReceiptSchema,
  ReceiptState,
  RunMode,
  type Actor,
  type Attempt,
  type JobRecord,
} from "@signalbox/protocol";
import { deadlineWords, endsByDeadline, isOverdue, keepClock, runOut } from "./attempt-clock.ts";
import {
  begin,
  decideReceipts,
  endDoubts,
  endJob,
  longestEndReason,
  obeyInQueue,
  openAttempt,
  setState,
} from "./job-record.ts";
import { giveBack, setLever, settingOf, wantedRun } from "./levers.ts";
import { backOffAfter } from "./policies.ts";

// Attempts that a job's own policies end or begin: another try after a failure or a loss, and the end of one that takes too long. See
// job-fold.ts for the rules of all folds.

/** How long a lost attempt is waited for before it may be given up, microseconds. */
export const giveUpAfterUs = 45_000_000;

/** Puts the job back into the queue. What was delivered in time waits for the next attempt, without a deadline. Changes `record`. */
export function queueAgain(record: JobRecord, reason: string, now: number, retryAtUs = 0n): void {
  endDoubts(record, now);
  for (const receipt of record.receipts) {
    if (receipt.state !== ReceiptState.DELIVERED) continue;
    receipt.state = ReceiptState.ACCEPTED;
    receipt.deliverByUs = 0n;
  }
  record.queuedAtUs = BigInt(now);
  record.retryAtUs = retryAtUs;
  setState(record, JobState.QUEUED, reason, now);
  // A pause that stood on the worker holds the job in the queue: the lever is as it was.
  obeyInQueue(record, now);
}

/**
 * The attempt failed, by its worker's word: the job is tried again if its policy has another attempt and nobody wants it to end, else
 * it fails. Changes `record`.
 */
export function failOrRetry(record: JobRecord, attempt: Attempt, reason: string, now: number): void {
  record.tries++;
  const isOver = endsByDeadline(record, attempt);
  if (!hasTryLeft(record) || (wantsEnd(record, attempt) && !isOver)) {
    endJob(record, JobState.FAILED, reason, now);
    return;
  }
  if (isOver) liftCancel(record, attempt, ReceiptState.REJECTED, now);
  again(record, `attempt ${attempt.number} failed${reason && `: ${reason}`}`, now);
}

/** The attempt was ended because its time was over: the job fails with that, or is tried again. Changes `record`. */
export function endOverdue(record: JobRecord, attempt: Attempt, now: number): void {
  record.tries++;
  const words = deadlineWords(record);
  liftCancel(record, attempt, ReceiptState.APPLIED, now);
  if (hasTryLeft(record)) again(record, `attempt ${attempt.number} ${words}`, now);
  else endJob(record, JobState.FAILED, words, now);
}

/** Ends an attempt without its worker's word. Changes `record`. */
export function closeGivenUp(record: JobRecord, attempt: Attempt, reason: string, now: number): void {
  attempt.end = create(AttemptEndSchema, { outcome: EndOutcome.GIVEN_UP, reason: reason.slice(0, longestEndReason) });
  attempt.endedAtUs = BigInt(now);
  keepClock(record, attempt, now);
  record.tries++;
}

/** Whether somebody wants the job to end; what the server wants of an attempt whose time is over is not meant. */
export function wantsEnd(record: JobRecord, attempt: Attempt): boolean {
  return wantedRun(record.spec) === RunMode.CANCEL && !endsByDeadline(record, attempt);
}

/** The record after a back-off is over; undefined if it is not. */
export function foldRetryDue(before: JobRecord, now: number): JobRecord | undefined {
  if (before.retryAtUs === 0n || before.retryAtUs > BigInt(now)) return undefined;
  const record = begin(before);
  record.retryAtUs = 0n;
  return record;
}

/** Whether the job's policy gives its lost attempt up at `now`: it was waited for, and there is another try or the job is to end. */
export function isGivenUp(record: JobRecord, now: number): boolean {
  const attempt = openAttempt(record);
  if (!record.retry?.whenLost || !attempt || record.state !== JobState.LOST) return false;
  if (now - Number(attempt.lostAtUs) < giveUpAfterUs) return false;
  return wantsEnd(record, attempt) || record.tries + 1 < record.retry.mostAttempts;
}

/** The record after the policy gave a lost attempt up; undefined if it does not. */
export function foldGiveUpLost(before: JobRecord, now: number): JobRecord | undefined {
  if (!isGivenUp(before, now)) return undefined;
  const record = begin(before);
  const attempt = openAttempt(record);
  if (!attempt) return undefined;
  const words = "given up; the process may still run";
  const isOver = endsByDeadline(record, attempt);
  closeGivenUp(record, attempt, words, now);
  if (wantsEnd(record, attempt)) endJob(record, JobState.CANCELED, words, now);
  else {
    if (isOver) liftCancel(record, attempt, ReceiptState.REJECTED, now);
    again(record, `attempt ${attempt.number} was lost: ${words}`, now);
  }
  return record;
}

/**
 * The record after an attempt's time was over, and the generation of the cancel that ends it: `actor`, the server, moves the run lever.
 * Undefined if the time is not over, or somebody ends the job already.
 */
export function foldDeadline(
  before: JobRecord,
  actor: Actor,
  now: number,
): { record: JobRecord; generation: bigint } | undefined {
  const open = openAttempt(before);
  if (!open || !isOverdue(before, open, now)) return undefined;
  const record = begin(before);
  const attempt = openAttempt(record);
  if (!attempt) return undefined;
  runOut(attempt, now);
  const spec = (record.spec ??= create(JobSpecSchema));
  const previous = settingOf(spec, "run");
  const run = { mode: RunMode.CANCEL, graceMs: record.deadline?.graceMs ?? 0, reason: deadlineWords(record) };
  const value = create(LeverValueSchema, { value: { case: "run", value: run } });
  const generation = setLever(spec, value);
  record.receipts.push(
    create(ReceiptSchema, {
      generation,
      value,
      actor,
      state: ReceiptState.ACCEPTED,
      acceptedAtUs: BigInt(now),
      ...(previous?.value ? { before: previous.value } : {}),
      ...(previous?.hold ? { beforeHold: previous.hold } : {}),
    }),
  );
  return { record, generation };
}

function hasTryLeft({ retry, tries }: JobRecord): boolean {
  return retry !== undefined && tries < retry.mostAttempts;
}

function again(record: JobRecord, reason: string, now: number): void {
  const waitMs = record.retry ? backOffAfter(record.retry, record.tries) : 0;
  queueAgain(record, reason, now, waitMs === 0 ? 0n : BigInt(now + waitMs * 1000));
}

/** Puts the run lever back to what it was before the server's cancel. Changes `record`. */
function liftCancel(record: JobRecord, attempt: Attempt, outcome: ReceiptState, now: number): void {
  const setting = settingOf(record.spec, "run");
  if (!record.spec || !setting) return;
  const cancel = record.receipts.find((each) => each.generation === setting.generation);
  const reason = outcome === ReceiptState.REJECTED ? "the attempt ended first" : "";
  const place = { attempt: attempt.number, atLine: attempt.end?.endLine ?? 0n };
  decideReceipts(record, "run", setting.generation, outcome, reason, BigInt(now), place);
  giveBack(record.spec, "run", cancel?.before, cancel?.beforeHold, now);
}

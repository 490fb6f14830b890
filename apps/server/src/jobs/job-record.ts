import { clone } from "@bufbuild/protobuf";
import {
  AttemptEndSchema,
  EndOutcome,
  JobState,
  ReceiptState,
  RunMode,
  type Attempt,
  type AttemptEnd,
  type JobRecord,
  type LeverSetting,
  type Receipt,
} from "@signalbox/protocol";
import { isInDoubt } from "@signalbox/protocol/job-state";
import { keepClock } from "./attempt-clock.ts";
import { isCancel, leverOf, settingOf, type Lever } from "./levers.ts";

// What the folds of a job share: reading a record, and the few ways in which all of them change one.

/** Longest reason that is stored, characters. */
export const longestEndReason = 2000;

/** How an attempt may end by its worker's word. */
const workerOutcomes: ReadonlySet<EndOutcome> = new Set([
  EndOutcome.SUCCEEDED,
  EndOutcome.FAILED,
  EndOutcome.CANCELED,
  EndOutcome.RELEASED,
  EndOutcome.DECLINED,
]);

/** The attempt that has not ended, if there is one. */
export function openAttempt(record: JobRecord): Attempt | undefined {
  const newest = record.attempts.at(-1);
  return newest && newest.endedAtUs === 0n ? newest : undefined;
}

/** Whether the job has reached an end state. Only a retry leaves it. */
export function hasEnded(record: JobRecord): boolean {
  return record.state === JobState.SUCCEEDED || record.state === JobState.FAILED || record.state === JobState.CANCELED;
}

/**
 * Whether the room ended the attempt without its worker's word on that: it was given up, or could not begin. What still comes of it is
 * late evidence. The server's own ends have no time of the worker's.
 */
export function endedUnheard({ end }: Attempt): boolean {
  return end !== undefined && (end.outcome === EndOutcome.GIVEN_UP || end.atUs === 0n);
}

/** How an attempt ended by its worker's word, in the form in which it is stored. Only the server gives up, and only its own ends have no time. */
export function heardEnd(end: AttemptEnd, now: number): AttemptEnd {
  const heard = clone(AttemptEndSchema, end);
  // An enum of protobuf takes any number; and only the room gives up.
  if (!workerOutcomes.has(end.outcome)) heard.outcome = EndOutcome.FAILED;
  if (end.atUs === 0n) heard.atUs = BigInt(now);
  heard.reason = end.reason.slice(0, longestEndReason);
  return heard;
}

/** Whether a receipt still waits for its decision. */
export function isOpen(receipt: Receipt): boolean {
  return receipt.state === ReceiptState.ACCEPTED || receipt.state === ReceiptState.DELIVERED;
}

/** It turns out that the worker of a command in doubt can never have had it. Changes `receipt`. */
export function neverHad(receipt: Receipt, now: number): void {
  receipt.state = receipt.deliverByUs === 0n ? ReceiptState.WITHDRAWN : ReceiptState.EXPIRED;
  receipt.decidedAtUs = BigInt(now);
  receipt.supersededBy = 0n;
}

/** Ends the doubts of an attempt that is over: nothing more is heard of it. Changes `record`. */
export function endDoubts(record: JobRecord, now: number): void {
  const attempt = record.attempts.at(-1);
  for (const receipt of record.receipts) {
    if (!isInDoubt(receipt)) continue;
    if (attempt && !endedUnheard(attempt) && receipt.generation > attempt.receivedGeneration) neverHad(receipt, now);
    else {
      receipt.state = ReceiptState.SUPERSEDED;
      receipt.decidedAtUs = BigInt(now);
    }
  }
}

/**
 * A copy to change. Of the decided receipts it keeps the newest of each lever: each decision is in the entry that made it, and in the
 * record until the next one.
 */
export function begin(before: JobRecord): JobRecord {
  const record = copyToChange(before);
  const newest = new Map<Lever, bigint>();
  for (const receipt of record.receipts) {
    const lever = leverOf(receipt.value);
    if (!isOpen(receipt) && receipt.generation > (newest.get(lever) ?? 0n)) newest.set(lever, receipt.generation);
  }
  record.receipts = record.receipts.filter(
    (receipt) => isOpen(receipt) || newest.get(leverOf(receipt.value)) === receipt.generation,
  );
  return record;
}

/**
 * A copy as deep as folds change it; values, actors, ends and what else is only ever replaced is shared. Several times as fast as a clone
 * by reflection, and a busy room folds thousands of entries a second.
 */
function copyToChange(before: JobRecord): JobRecord {
  const { spec } = before;
  return {
    ...before,
    ...(spec ? { spec: { ...spec, levers: spec.levers.map(copySetting) } } : {}),
    attempts: before.attempts.map((attempt) => ({ ...attempt, levers: [...attempt.levers] })),
    receipts: before.receipts.map((receipt) => ({ ...receipt })),
    late: before.late.map((late) => ({ ...late })),
  };
}

function copySetting(setting: LeverSetting): LeverSetting {
  return setting.hold ? { ...setting, hold: { ...setting.hold } } : { ...setting };
}

export function setState(record: JobRecord, state: JobState, reason: string, now: number): void {
  if (record.state !== state) record.stateSinceUs = BigInt(now);
  record.state = state;
  record.reason = reason.slice(0, longestEndReason);
}

/** Sets the state from what the open attempt's worker has reported. */
export function observe(record: JobRecord, attempt: Attempt, now: number): void {
  if (attempt.endedAtUs !== 0n) return;
  const run = attempt.levers.find((each) => each.value?.value.case === "run")?.value?.value;
  const paused = run?.case === "run" && run.value.mode === RunMode.PAUSE;
  setState(record, attempt.startedAtUs === 0n ? JobState.QUEUED : paused ? JobState.PAUSED : JobState.RUNNING, "", now);
  keepClock(record, attempt, now);
}

export function endJob(record: JobRecord, state: JobState, reason: string, now: number): void {
  setState(record, state, reason, now);
  record.endedAtUs = BigInt(now);
  record.retryAtUs = 0n;
  // Where the worker says that it ended by a cancel, that was the last one that it had.
  if (record.attempts.at(-1)?.end?.outcome === EndOutcome.CANCELED) {
    const took = record.receipts.findLast((each) => isLatched(each));
    if (took) took.supersededBy = 0n;
  }
  endDoubts(record, now);
  for (const receipt of record.receipts) {
    if (!isOpen(receipt)) continue;
    receipt.decidedAtUs = BigInt(now);
    if (isCancel(receipt.value) && state === JobState.CANCELED) {
      receipt.state = ReceiptState.APPLIED;
      receipt.attempt = record.attempts.at(-1)?.number ?? 0;
      receipt.atLine = record.attempts.at(-1)?.end?.endLine ?? 0n;
    } else {
      receipt.state = ReceiptState.REJECTED;
      receipt.reason = state === JobState.CANCELED ? "the job was canceled first" : `the job ${stateWord(state)} first`;
    }
  }
}

/** Decides the receipts of a lever by a report of `generation`. Returns whether one was open. */
export function decideReceipts(
  record: JobRecord,
  lever: Lever,
  generation: bigint,
  outcome: ReceiptState,
  reason: string,
  at: bigint,
  place: { attempt?: number; atLine?: bigint },
): boolean {
  let decided = false;
  for (const receipt of record.receipts) {
    if (!isOpen(receipt) || leverOf(receipt.value) !== lever || receipt.generation > generation) continue;
    // What was refused takes no other's place.
    if (outcome === ReceiptState.REJECTED && receipt.generation < generation && isLatched(receipt, reason)) continue;
    decided = true;
    receipt.decidedAtUs = at;
    if (receipt.deliveredAtUs === 0n) receipt.deliveredAtUs = at;
    if (receipt.generation === generation) {
      receipt.state = outcome;
      receipt.supersededBy = 0n;
      receipt.reason = reason;
      receipt.attempt = place.attempt ?? 0;
      receipt.atLine = place.atLine ?? 0n;
    } else {
      receipt.state = ReceiptState.SUPERSEDED;
      receipt.supersededBy = generation;
    }
  }
  return decided;
}

/** A state in the words that people read. */
export function stateWord(state: JobState): string {
  return stateWords[state] ?? "unknown";
}

const stateWords: Readonly<Record<JobState, string>> = {
  [JobState.UNSPECIFIED]: "unknown",
  [JobState.QUEUED]: "waiting",
  [JobState.RUNNING]: "running",
  [JobState.PAUSED]: "paused",
  [JobState.SUCCEEDED]: "succeeded",
  [JobState.FAILED]: "failed",
  [JobState.CANCELED]: "canceled",
  [JobState.LOST]: "lost",
};

/** With this the worker refuses a RUN or PAUSE after a cancel. */
const cancelling = "cancelling";

/**
 * Whether a receipt is of a cancel that the worker has and that is not decided. Of one in doubt that is known only where the worker refuses
 * a later word on the run lever because it is `cancelling`.
 */
export function isLatched(receipt: Receipt, reason = cancelling): boolean {
  if (receipt.state !== ReceiptState.DELIVERED || !isCancel(receipt.value)) return false;
  return reason === cancelling || !isInDoubt(receipt);
}

/** What run and priority ask of a job that no worker has takes effect at once: the queue obeys them. */
export function obeyInQueue(record: JobRecord, now: number): void {
  const at = BigInt(now);
  for (const lever of ["run", "priority"] as const) {
    const setting = settingOf(record.spec, lever);
    if (!setting) continue;
    decideReceipts(record, lever, setting.generation, ReceiptState.APPLIED, "", at, {});
    if (setting.hold?.endsAtUs === 0n) setting.hold.endsAtUs = at + setting.hold.durationMs * 1000n;
    const { value } = setting.value ?? {};
    if (value?.case === "run" && value.value.mode === RunMode.CANCEL)
      endJob(record, JobState.CANCELED, value.value.reason || canceledInQueue(record), now);
  }
}

function canceledInQueue({ attempts }: JobRecord): string {
  return attempts.length === 0 ? "canceled before it started" : "canceled before its next attempt";
}

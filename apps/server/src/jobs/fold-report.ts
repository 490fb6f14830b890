import { create, equals } from "@bufbuild/protobuf";
import {
  AttemptEndSchema,
  EndOutcome,
  JobState,
  LeverOutcome,
  LeverValueSchema,
  ReceiptState,
  RunMode,
  type Attempt,
  type AttemptEnd,
  type AttemptReport,
  type Hold,
  type JobRecord,
  type LeverReport,
  type Receipt,
} from "@signalbox/protocol";
import { isInDoubt } from "@signalbox/protocol/job-state";
import { endsByDeadline, keepClock } from "./attempt-clock.ts";
import { endOverdue, failOrRetry, queueAgain } from "./fold-again.ts";
import {
  begin,
  decideReceipts,
  endJob,
  hasEnded,
  heardEnd,
  isLatched,
  neverHad,
  observe,
  openAttempt,
  longestEndReason,
} from "./job-record.ts";
import {
  giveBack,
  graceOf,
  leverOf,
  removeLever,
  setLever,
  settingOf,
  wantedRun,
  type Lever,
  restValue,
} from "./levers.ts";

// Reports: what a worker says of the attempt that it runs. See job-fold.ts for the rules of all folds.

/**
 * The record after a worker's word on its open attempt; undefined if it says nothing new. The caller has checked that the attempt is
 * the open one and belongs to the process that reports. Folding the same report twice changes nothing the second time. `serverTime` makes
 * a time on the worker's clock one of the server's; without it everything has happened now.
 */
export function foldReport(
  before: JobRecord,
  report: AttemptReport,
  now: number,
  serverTime?: (workerUs: number) => number,
): JobRecord | undefined {
  const record = begin(before);
  const attempt = openAttempt(record);
  if (!attempt || attempt.number !== report.attempt) return undefined;
  const at = BigInt(now);
  let changed = false;
  /** When something happened, by the worker's word: not before `earliest`, nor after it was told. */
  const happened = (workerUs: bigint, earliest: bigint): bigint => {
    const told = workerUs > 0n && serverTime ? BigInt(Math.round(serverTime(Number(workerUs)))) : at;
    if (told > at) return at;
    return told > earliest ? told : earliest;
  };

  if (attempt.lostAtUs !== 0n) {
    attempt.lostAtUs = 0n;
    changed = true;
  }
  if (report.started && attempt.startedAtUs === 0n) {
    // A job that names its worker may have been begun there before anybody here knew of it.
    const earliest = record.workerId === "" ? attempt.assignedAtUs : (record.attempts.at(-2)?.endedAtUs ?? 0n);
    attempt.startedAtUs = happened(report.beganAtUs, earliest);
    if (record.startedAtUs === 0n) record.startedAtUs = attempt.startedAtUs;
    changed = true;
  }
  const known = record.spec?.generation ?? 0n;
  const received = report.receivedGeneration < known ? report.receivedGeneration : known;
  if (received > attempt.receivedGeneration) {
    attempt.receivedGeneration = received;
    for (const receipt of record.receipts) {
      if (receipt.state === ReceiptState.ACCEPTED && receipt.generation <= received) {
        receipt.state = ReceiptState.DELIVERED;
        receipt.deliveredAtUs = at;
      }
    }
    changed = true;
  }
  if (report.checkpoint.length > 0 && Buffer.compare(report.checkpoint, attempt.checkpoint) !== 0) {
    attempt.checkpoint = report.checkpoint;
    changed = true;
  }
  for (const lever of report.levers) changed = foldLever(record, attempt, lever, at) || changed;

  if (report.end && !hasEnded(record)) {
    foldEnd(record, attempt, report.end, now);
    attempt.endedAtUs = happened(report.end.atUs, attempt.startedAtUs || attempt.assignedAtUs);
    if (hasEnded(record)) record.endedAtUs = attempt.endedAtUs;
    changed = true;
  } else if (changed) {
    observe(record, attempt, now);
  }
  return changed ? record : undefined;
}

/**
 * The record after the word with which a process connects; undefined if it says nothing new. `doubts` are the commands that were in doubt at
 * that moment: what it has not received of those it never gets, for the link on which they were sent is gone.
 */
export function foldHello(
  before: JobRecord,
  report: AttemptReport,
  doubts: readonly bigint[],
  now: number,
  serverTime?: (workerUs: number) => number,
): JobRecord | undefined {
  const after = foldReport(before, report, now, serverTime);
  const record = after ?? begin(before);
  let changed = after !== undefined;
  for (const receipt of record.receipts) {
    const { generation } = receipt;
    if (!isInDoubt(receipt) || !doubts.includes(generation) || generation <= report.receivedGeneration) continue;
    neverHad(receipt, now);
    changed = true;
  }
  return changed ? record : undefined;
}

/** Folds the worker's word on one lever. Returns whether anything changed. */
function foldLever(record: JobRecord, attempt: Attempt, report: LeverReport, at: bigint): boolean {
  if (report.outcome === LeverOutcome.UNSPECIFIED || !report.value?.value.case || !record.spec) return false;
  // A generation that was never given is nobody's word: folded, it would outrank every true one.
  if (report.generation > record.spec.generation) return false;
  const lever = leverOf(report.value);
  const known = attempt.levers.findIndex((each) => each.value?.value.case === lever);
  const applied = known < 0 ? undefined : attempt.levers[known];
  const place = { attempt: attempt.number, atLine: report.atLine };

  if (report.outcome === LeverOutcome.REJECTED) return foldRejection(record, attempt, lever, report, at);

  const isNews =
    !applied ||
    report.generation > applied.generation ||
    (report.generation === applied.generation && report.outcome > applied.outcome);
  if (!isNews) return false;
  if (known < 0) attempt.levers.push(report);
  else attempt.levers[known] = report;
  decideReceipts(record, lever, report.generation, ReceiptState.APPLIED, "", at, place);

  const setting = settingOf(record.spec, lever);
  if (setting?.hold && setting.generation === report.generation) {
    if (report.outcome === LeverOutcome.REVERTED) setLever(record.spec, setting.hold.then ?? restValue(lever));
    else if (setting.hold.endsAtUs === 0n) setting.hold.endsAtUs = at + setting.hold.durationMs * 1000n;
  }
  return true;
}

/**
 * Folds a refusal: the lever goes back to what is in effect, under a new generation. A cancel that the worker has is in effect: it
 * latches. Returns whether anything changed.
 */
function foldRejection(record: JobRecord, attempt: Attempt, lever: Lever, report: LeverReport, at: bigint): boolean {
  const { generation, reason, atLine } = report;
  const command = record.receipts.find((each) => each.generation === generation && leverOf(each.value) === lever);
  const latched = latchedBefore(record, generation, reason);
  const place = { attempt: attempt.number, atLine };
  const decided = decideReceipts(record, lever, generation, ReceiptState.REJECTED, reason, at, place);
  const setting = settingOf(record.spec, lever);
  if (!record.spec || setting?.generation !== generation) return decided;

  const inEffect = attempt.levers.find((each) => each.value?.value.case === lever);
  const isSooner = (graceOf(inEffect?.value) ?? Infinity) < (graceOf(latched?.value) ?? Infinity);
  const latch = lever === "run" && !isSooner ? latched?.value : undefined;
  // It was taken back too late: it stands.
  if (latch && latched) latched.supersededBy = 0n;
  const back = latch ?? inEffect?.value;
  if (back) {
    // A worker that refuses even what is in effect is not asked again.
    if (setting.value && equals(LeverValueSchema, back, setting.value)) return decided;
    giveBack(record.spec, lever, back, latch ? undefined : holdOf(record, lever, inEffect), Number(at));
  } else if (command && command.acceptedAtUs >= attempt.assignedAtUs) {
    // It was moved while the attempt was on its way or ran: what it began with is not touched by the refusal.
    if (command.before) giveBack(record.spec, lever, command.before, command.beforeHold, Number(at));
    else removeLever(record.spec, lever);
  } else {
    // Nothing is in effect to go back to: the attempt cannot be what was asked for.
    attempt.end = create(AttemptEndSchema, {
      outcome: EndOutcome.FAILED,
      reason: `the worker cannot start with this ${lever}: ${reason}`.slice(0, longestEndReason),
      endLine: atLine,
    });
    attempt.endedAtUs = at;
    keepClock(record, attempt, Number(at));
    record.tries++;
    // The next attempt would be refused the same.
    endJob(record, JobState.FAILED, attempt.end.reason, Number(at));
  }
  return true;
}

/** The cancel that the worker has, of those before a generation: the first one, unless a later one gives no more grace. */
function latchedBefore({ receipts }: JobRecord, generation: bigint, reason: string): Receipt | undefined {
  let latched: Receipt | undefined;
  for (const receipt of receipts) {
    const graceMs = graceOf(receipt.value);
    if (graceMs === undefined || receipt.generation >= generation || !isLatched(receipt, reason)) continue;
    if (graceMs <= (graceOf(latched?.value) ?? Infinity)) latched = receipt;
  }
  return latched;
}

/** How long the value in effect holds: the first command after it has that, if it stood on it. */
function holdOf(record: JobRecord, lever: Lever, inEffect: LeverReport | undefined): Hold | undefined {
  let next: Receipt | undefined;
  for (const receipt of record.receipts) {
    if (!inEffect || leverOf(receipt.value) !== lever || receipt.generation <= inEffect.generation) continue;
    if (!next || receipt.generation < next.generation) next = receipt;
  }
  const isSame = next?.before && inEffect?.value && equals(LeverValueSchema, next.before, inEffect.value);
  return isSame ? next?.beforeHold : undefined;
}

function foldEnd(record: JobRecord, attempt: Attempt, end: AttemptEnd, now: number): void {
  attempt.end = heardEnd(end, now);
  attempt.endedAtUs = BigInt(now);
  attempt.lostAtUs = 0n;
  keepClock(record, attempt, now);
  const { outcome, reason } = attempt.end;
  if (outcome === EndOutcome.SUCCEEDED) {
    record.tries++;
    endJob(record, JobState.SUCCEEDED, reason, now);
  } else if (outcome === EndOutcome.FAILED) failOrRetry(record, attempt, reason, now);
  else if (endsByDeadline(record, attempt)) endOverdue(record, attempt, now);
  else if (outcome === EndOutcome.CANCELED) {
    record.tries++;
    endJob(record, JobState.CANCELED, reason, now);
  } else if (wantedRun(record.spec) === RunMode.CANCEL) endJob(record, JobState.CANCELED, reason, now);
  else queueAgain(record, reason, now);
}

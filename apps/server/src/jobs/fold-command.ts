import { create, equals } from "@bufbuild/protobuf";
import {
  HoldSchema,
  JobSpecSchema,
  LeverValueSchema,
  ReceiptSchema,
  ReceiptState,
  type Actor,
  type Command,
  type JobRecord,
  type LeverValue,
  type Receipt,
} from "@signalbox/protocol";
import { step } from "@signalbox/protocol/format";
import { isInDoubt } from "@signalbox/protocol/job-state";
import { leverWords } from "../audit/words.ts";
import { Refused } from "../refused.ts";
import { begin, hasEnded, isOpen, obeyInQueue, openAttempt, stateWord } from "./job-record.ts";
import { foldGiveUp } from "./job-fold.ts";
import {
  checkHold,
  checkLeverValue,
  giveBack,
  isCancel,
  leverOf,
  restValue,
  setLever,
  settingOf,
  type Lever,
} from "./levers.ts";
import { withinFirstGrace } from "./second-cancel.ts";

// Commands: what is asked of a job, and what becomes of it when nobody carries it out. See job-fold.ts for the rules of all folds.

/** Commands that nobody has carried out yet; each is in every entry until it is decided. A cancel is taken beyond that. */
const mostOpen = 200;
const mostOpenWithCancels = 220;
const mostOpenParameters = 8;
const longestWaitMs = 366n * 86_400_000n;

/**
 * The record after a command was accepted, and the generation it was given (0 if it sets no lever). On a job that no worker has,
 * run and priority take effect at once. `mayHave` is the newest generation that the job's worker may have. Throws Refused.
 */
export function foldCommand(
  record: JobRecord,
  command: Command,
  actor: Actor,
  requestId: string,
  now: number,
  mayHave = 0n,
): { record: JobRecord; generation: bigint } {
  if (command.ifGeneration !== 0n && command.ifGeneration !== record.spec?.generation) {
    throw new Refused("stale", `${staleWords(record, command.ifGeneration, now)} Your command changed nothing.`);
  }
  switch (command.action.case) {
    case "set":
      return foldSet(record, command, command.action.value, actor, requestId, now);
    case "withdrawGeneration":
      return { record: foldWithdraw(record, command.action.value, now, mayHave), generation: 0n };
    case "giveUp":
      return { record: foldGiveUp(record, command.action.value.reason, now), generation: 0n };
    case undefined:
      throw new Refused(
        "invalid",
        "The command asks for nothing: set a lever, withdraw a command or give the attempt up.",
      );
  }
}

function foldSet(
  before: JobRecord,
  command: Command,
  asked: LeverValue,
  actor: Actor,
  requestId: string,
  now: number,
): { record: JobRecord; generation: bigint } {
  const lever = leverOf(asked);
  checkLeverValue(asked);
  checkHold(asked, command.hold);
  if (hasEnded(before))
    throw new Refused(
      "wrong-state",
      `The job has ended: it is ${stateWord(before.state)}. A lever moves only a job that is not over; retry it instead.`,
    );
  if (lever === "priority" && openAttempt(before)) {
    throw new Refused(
      "wrong-state",
      "Priority orders the queue; this job has left it. It can be set again when the job waits.",
    );
  }
  if (command.deliverWithinMs > longestWaitMs)
    throw new Refused(
      "invalid",
      `deliver_within_ms is ${command.deliverWithinMs}, at most ${longestWaitMs} are allowed.`,
    );
  const value = withinFirstGrace(before, asked, now);
  checkOpen(before, value);
  const record = begin(before);
  const spec = (record.spec ??= create(JobSpecSchema));
  const previous = settingOf(spec, lever);
  const hold =
    command.hold &&
    create(HoldSchema, {
      durationMs: command.hold.durationMs,
      then: command.hold.then ?? previous?.hold?.then ?? previous?.value ?? restValue(lever),
    });
  if (isCancel(hold?.then))
    throw new Refused(
      "wrong-state",
      "The job is being canceled, and what holds for a time cannot go back to that: a cancel is for good.",
    );
  const generation = setLever(spec, value, hold);
  const at = BigInt(now);
  record.receipts.push(
    create(ReceiptSchema, {
      generation,
      value,
      actor,
      requestId,
      bulkId: command.bulkId,
      state: ReceiptState.ACCEPTED,
      acceptedAtUs: at,
      deliverByUs: command.deliverWithinMs === 0n ? 0n : at + command.deliverWithinMs * 1000n,
      ...(hold ? { hold } : {}),
      ...(previous?.value ? { before: previous.value } : {}),
      ...(previous?.hold ? { beforeHold: previous.hold } : {}),
    }),
  );
  if (!openAttempt(record)) obeyInQueue(record, now);
  return { record, generation };
}

/** Refuses a command if too many are open. Each is part of every entry, and a worker that does not answer decides none. */
export function checkOpen(record: JobRecord, value: LeverValue): void {
  const open = record.receipts.filter(isOpen);
  const lever = leverOf(value);
  const ofLever = open.filter((receipt) => leverOf(receipt.value) === lever).length;
  if (
    open.length >= (isCancel(value) ? mostOpenWithCancels : mostOpen) ||
    (lever === "parameters" && ofLever >= mostOpenParameters)
  )
    throw new Refused(
      "exhausted",
      `${open.length} commands wait for the job's worker already. Withdraw some, or wait.`,
    );
}

function foldWithdraw(before: JobRecord, generation: bigint, now: number, mayHave: bigint): JobRecord {
  const receipt = before.receipts.find((each) => each.generation === generation);
  if (!receipt) throw new Refused("not-found", `There is no open command with generation ${generation} on this job.`);
  if (isInDoubt(receipt)) {
    throw new Refused(
      "wrong-state",
      "The command is taken back already. It was on its way: whether the worker had it shows when it answers.",
    );
  }
  if (receipt.state !== ReceiptState.ACCEPTED)
    throw new Refused("wrong-state", whyNotTakenBack[receipt.state] ?? "The command cannot be taken back.");
  return takeBack(before, generation, ReceiptState.WITHDRAWN, now, mayHave);
}

/** Why a command that was delivered or decided cannot be taken back. */
const whyNotTakenBack: Readonly<Partial<Record<ReceiptState, string>>> = {
  [ReceiptState.DELIVERED]:
    "The worker has the command already: it cannot be taken back. Move the lever again instead.",
  [ReceiptState.APPLIED]: "The command is in effect already: it cannot be taken back. Move the lever again instead.",
  [ReceiptState.PROVED]: "The command is in effect already: it cannot be taken back. Move the lever again instead.",
  [ReceiptState.REJECTED]: "The command was rejected: there is nothing to take back.",
  [ReceiptState.SUPERSEDED]: "A newer command has taken the place of this one: there is nothing to take back.",
  [ReceiptState.EXPIRED]: "The command was not delivered in time and has expired: there is nothing to take back.",
  [ReceiptState.WITHDRAWN]: "The command is taken back already.",
};

/**
 * The record after a command's deadline passed without delivery; undefined if it was delivered or decided in time. `mayHave` is the newest
 * generation that the job's worker may have.
 */
export function foldDeliverBy(before: JobRecord, generation: bigint, now: number, mayHave = 0n): JobRecord | undefined {
  const receipt = before.receipts.find((each) => each.generation === generation);
  if (
    !receipt ||
    receipt.state !== ReceiptState.ACCEPTED ||
    receipt.deliverByUs === 0n ||
    receipt.deliverByUs > BigInt(now) ||
    isInDoubt(receipt)
  )
    return undefined;
  return takeBack(before, generation, ReceiptState.EXPIRED, now, mayHave);
}

/**
 * Puts the lever of an undelivered command back to what it was under a new generation. If its worker cannot have it, that ends the command
 * as `state`; else it is in doubt, and ends with the worker's word.
 */
function takeBack(before: JobRecord, generation: bigint, state: ReceiptState, now: number, mayHave: bigint): JobRecord {
  const record = begin(before);
  const receipt = record.receipts.find((each) => each.generation === generation);
  if (receipt) {
    const lever = leverOf(receipt.value);
    // Who comes after it stands on what was before it.
    const next = record.receipts.find(
      (each) => isOpen(each) && each.generation > generation && leverOf(each.value) === lever,
    );
    if (next?.before && receipt.value && equals(LeverValueSchema, next.before, receipt.value)) setBefore(next, receipt);
    if (record.spec && settingOf(record.spec, lever)?.generation === generation)
      giveBack(record.spec, lever, receipt.before, receipt.beforeHold, now);
    if (generation <= mayHave) {
      receipt.supersededBy = settingOf(record.spec, lever)?.generation ?? 0n;
      // Who takes it back waits for no deadline: that is how the two are known from each other.
      if (state === ReceiptState.WITHDRAWN) receipt.deliverByUs = 0n;
    } else {
      receipt.state = state;
      receipt.decidedAtUs = BigInt(now);
    }
  }
  if (!openAttempt(record) && !hasEnded(record)) obeyInQueue(record, now);
  return record;
}

function setBefore(receipt: Receipt, { before, beforeHold }: Receipt): void {
  if (before) receipt.before = before;
  else delete receipt.before;
  if (beforeHold) receipt.beforeHold = beforeHold;
  else delete receipt.beforeHold;
}

/** The record after a held value ran out with no worker to say so; undefined if there is nothing to revert. */
export function foldHoldEnded(before: JobRecord, lever: Lever, now: number): JobRecord | undefined {
  const record = begin(before);
  const setting = settingOf(record.spec, lever);
  if (!record.spec || !setting?.hold || setting.hold.endsAtUs === 0n || setting.hold.endsAtUs > BigInt(now))
    return undefined;
  setLever(record.spec, setting.hold.then ?? restValue(lever));
  if (!openAttempt(record) && !hasEnded(record)) obeyInQueue(record, now);
  return record;
}

/** Who changed what, and how long ago; or that nobody can have seen what the command was sent on. */
function staleWords(record: JobRecord, seen: bigint, now: number): string {
  const generation = record.spec?.generation ?? 0n;
  if (seen > generation) return `There is no generation ${seen} of this job yet: its newest is ${generation}.`;
  const newest = record.receipts.reduce<Receipt | undefined>(
    (a, b) => (a && a.generation > b.generation ? a : b),
    undefined,
  );
  if (!newest) return "The job has changed since you looked.";
  const who = newest.actor?.name ?? "Somebody";
  const ago = step((now - Number(newest.acceptedAtUs)) / 1000);
  return `${who} moved the ${leverOf(newest.value)} lever since you looked, ${ago} ago: ${leverWords(newest.value)}.`;
}

import { create, equals } from "@bufbuild/protobuf";
import {
  BulkOutcome,
  CommandSchema,
  JobState,
  LeverValueSchema,
  RunMode,
  type BulkCommand,
  type Command,
  type JobRecord,
  type JobType,
  type LeverValue,
  type RunValue,
} from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import { checkCommand, plainCommand } from "../jobs/check-command.ts";
import { checkOpen } from "../jobs/fold-command.ts";
import { foldRetry } from "../jobs/job-fold.ts";
import { hasEnded, openAttempt, stateWord } from "../jobs/job-record.ts";
import { checkHold, checkLeverOfType, checkLeverValue, leverOf, settingOf } from "../jobs/levers.ts";
import { checkRetry } from "../jobs/only-worker.ts";
import type { KnownWorkers } from "../jobs/steering.ts";
import { Refused } from "../refused.ts";

/** What a job would do with a command: take it, need none, or refuse it. The reason is empty where it takes it. */
export interface Verdict {
  readonly outcome: BulkOutcome;
  readonly reason: string;
}

const accepted: Verdict = { outcome: BulkOutcome.ACCEPTED, reason: "" };

/**
 * Judges jobs for a command to many: the preview asks it, and so does every command when it comes to its job. Throws Refused where the
 * command makes sense for no job at all.
 */
export function judgeOf(command: BulkCommand, workers: KnownWorkers, clock: Clock): (record: JobRecord) => Verdict {
  const { action } = command;
  switch (action.case) {
    case "set": {
      const each = commandOf(command);
      const plain = plainCommand(each, undefined);
      if (plain.action.case === "set") {
        checkLeverValue(plain.action.value);
        checkHold(plain.action.value, plain.hold);
      }
      // Parameters are checked once for each type, not for each job.
      const ofType = new Map<JobType | undefined, Command>([[undefined, plain]]);
      return (record) => {
        const type = workers.jobType(record.type);
        const known = ofType.get(type) ?? plainCommand(each, type);
        ofType.set(type, known);
        return judgeSet(record, known, type);
      };
    }
    case "retry":
      if (command.hold) throw new Refused("invalid", "A retry holds for no time: leave `hold` out.");
      return (record) => judgeRetry(record, workers, clock());
    case undefined:
      throw new Refused("invalid", "The command asks for nothing: set a lever, or retry.");
  }
}

/** The command that each job gets. Its lever is set, or Refused is thrown. */
export function commandOf({ action, hold }: BulkCommand): Command {
  if (action.case !== "set") throw new RangeError("a retry is no command");
  leverOf(action.value);
  return create(CommandSchema, { action, ...(hold ? { hold } : {}) });
}

function judgeSet(record: JobRecord, command: Command, type: JobType | undefined): Verdict {
  if (command.action.case !== "set") return accepted;
  const { value } = command.action;
  const lever = leverOf(value);
  if (hasEnded(record)) return skipped(`${stateWord(record.state)} already`);
  if (lever === "priority" && openAttempt(record)) return skipped("has left the queue");
  if (type && !hasLever(type, lever)) return skipped("its type has no such lever");
  const standing = settingOf(record.spec, lever);
  const reason =
    value.value.case === "run"
      ? whyNotRun(record, value.value.value, standing?.value, !command.hold && !standing?.hold)
      : standing?.value && equals(LeverValueSchema, standing.value, value) && !command.hold && !standing.hold
        ? "stands so already"
        : undefined;
  if (reason !== undefined) return skipped(reason);
  try {
    checkCommand(command, record, type);
    checkOpen(record, value);
    return accepted;
  } catch (error) {
    return refusedWith(error);
  }
}

function hasLever(type: JobType, lever: ReturnType<typeof leverOf>): boolean {
  try {
    checkLeverOfType(type, lever, "wrong-state");
    return true;
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
}

/** Why a job needs no such command on its run lever; undefined if it does. `lasting`: neither it nor what stands holds for a time. */
function whyNotRun(
  { state }: JobRecord,
  wanted: RunValue,
  standing: LeverValue | undefined,
  lasting: boolean,
): string | undefined {
  const stands = standing?.value.case === "run" ? standing.value.value : undefined;
  const mode = stands?.mode ?? RunMode.RUN;
  if (mode === RunMode.CANCEL) {
    // A second cancel may only shorten the grace.
    const shortens = wanted.mode === RunMode.CANCEL && wanted.graceMs < (stands?.graceMs ?? 0);
    return shortens ? undefined : "is being canceled already";
  }
  if (mode !== wanted.mode || !lasting) return undefined;
  if (mode === RunMode.RUN) return state === JobState.QUEUED ? "waits already" : "is not paused";
  // Who cannot wait for a safe point has the system stop it.
  if (wanted.bySystem && !stands?.bySystem && state !== JobState.PAUSED) return undefined;
  if (state === JobState.QUEUED) return "held already";
  return state === JobState.PAUSED ? "paused already" : "is being paused already";
}

function judgeRetry(record: JobRecord, workers: KnownWorkers, now: number): Verdict {
  const { state } = record;
  // One that waits for its next attempt by itself may be tried at once.
  const rests = state === JobState.QUEUED && record.retryAtUs !== 0n;
  if (!rests && state !== JobState.FAILED && state !== JobState.CANCELED && state !== JobState.LOST)
    return skipped(state === JobState.SUCCEEDED ? "succeeded already" : `is ${stateWord(state)}`);
  try {
    foldRetry(record, undefined, now);
  } catch (error) {
    if (error instanceof Refused && state === JobState.LOST) return skipped("its worker may still come back");
    return refusedWith(error);
  }
  try {
    checkRetry(record, workers.jobType(record.type), workers);
    return accepted;
  } catch (error) {
    return refusedWith(error);
  }
}

function skipped(reason: string): Verdict {
  return { outcome: BulkOutcome.SKIPPED, reason };
}

/** Longest reason that is kept of each job, characters. */
const longestReason = 200;

/** What stands for an error of a check. Throws what is no Refused. */
export function refusedWith(error: unknown): Verdict {
  if (!(error instanceof Refused)) throw error;
  return { outcome: BulkOutcome.REFUSED, reason: error.message.slice(0, longestReason) };
}

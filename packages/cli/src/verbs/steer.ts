import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  CommandSchema,
  HoldSchema,
  ReceiptState,
  ReceiptStateSchema,
  RunMode,
  type JobRecord,
  type LeverValue,
  type Receipt,
} from "@signalbox/protocol";
import { isOpen, seenState } from "@signalbox/protocol/job-state";
import { hasFilter } from "../bulk-selection.ts";
import { CliError, exitCodes, usageError } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { enumWord, receiptJson } from "../json.ts";
import { lastingValue, levelValue, parametersValue, priorityValue, runValue, speedValue } from "../lever-values.ts";
import { changedParameters } from "../parameters.ts";
import { followReceipt, outcomeWords, pendingWords, type Standing } from "../receipts.ts";
import { resolveJob, type FoundJob } from "../resolve-job.ts";
import type { Room } from "../room.ts";
import { sanitise } from "../sanitise.ts";
import type { ManyOptions } from "./many.ts";

/** Options of the verbs that move a lever. Times in milliseconds. */
export interface SteerOptions extends ManyOptions {
  readonly reason?: string;
  readonly grace?: number;
  readonly bySystem?: boolean;
}

const defaultGraceMs = 10_000;
const defaultTimeoutMs = 10_000;
/** A cancel has been decided when the job is over: beyond its grace the worker may take so long to say so. */
const afterGraceMs = 5_000;
/** How often a change is made again on top of what somebody else changed meanwhile. */
const tries = 5;

export function pause(invocation: Invocation, refs: string[], options: SteerOptions): Promise<number> {
  return steerAll(
    invocation,
    refs,
    options,
    "Not paused",
    runValue(RunMode.PAUSE, options.reason, 0, options.bySystem),
  );
}

export function resume(invocation: Invocation, refs: string[], options: SteerOptions): Promise<number> {
  return steerAll(invocation, refs, options, "Not resumed", runValue(RunMode.RUN, options.reason));
}

export function cancel(invocation: Invocation, refs: string[], options: SteerOptions): Promise<number> {
  const graceMs = options.grace ?? defaultGraceMs;
  const timeout = options.timeout ?? graceMs + afterGraceMs;
  const value = runValue(RunMode.CANCEL, options.reason, graceMs);
  return steerAll(invocation, refs, { ...options, timeout }, "Not canceled", value);
}

export function speed(invocation: Invocation, words: string[], options: SteerOptions): Promise<number> {
  const { refs, text } = valueLast(words, "items per second, or unlimited");
  return steerAll(invocation, refs, options, "Speed not changed", speedValue(text));
}

export function level(invocation: Invocation, words: string[], options: SteerOptions): Promise<number> {
  const { refs, text } = valueLast(words, "a level");
  return steerAll(invocation, refs, options, "Log level not changed", levelValue(text));
}

export function priority(invocation: Invocation, words: string[], options: SteerOptions): Promise<number> {
  const { refs, text } = valueLast(words, "a number from -100 to 100");
  return steerAll(invocation, refs, options, "Priority not changed", priorityValue(text));
}

/** The value stands after the jobs. */
function valueLast(words: readonly string[], what: string): { refs: string[]; text: string } {
  const text = words.at(-1);
  if (text === undefined) throw usageError(`The value is missing: give ${what} last.`);
  return { refs: words.slice(0, -1), text };
}

/** Sets a lever of one job that is named, or of many. */
async function steerAll(
  invocation: Invocation,
  refs: string[],
  options: SteerOptions,
  notDone: string,
  value: LeverValue,
): Promise<number> {
  const [ref] = refs;
  if (refs.length === 1 && ref !== undefined && !hasFilter(refs, options))
    return steer(invocation, ref, options, notDone, () => value);
  const { bulkCommand, many } = await import("./many.ts");
  return many(invocation, refs, options, bulkCommand(value, options), notDone);
}

/** Sets some parameters and keeps the others; `unset` leaves some out. */
export async function set(
  invocation: Invocation,
  ref: string,
  words: string[],
  options: SteerOptions & { readonly unset?: string[] },
): Promise<number> {
  const unset = options.unset ?? [];
  if (words.length + unset.length === 0) throw usageError("Nothing to set: give key=value.");
  const room = await invocation.room();
  const { types } = await room.call("Parameters not changed", () => room.jobs.listJobTypes({}));
  return steer(invocation, ref, options, "Parameters not changed", (job) => {
    const parameters = changedParameters(job, words, types);
    for (const key of unset) {
      if (!Object.hasOwn(parameters, key))
        throw usageError(`there is no parameter '${key}'.`, `It has: ${Object.keys(parameters).join(", ") || "none"}.`);
      delete parameters[key];
    }
    return parametersValue(parameters);
  });
}

/** What became of one job's command. */
interface Result {
  readonly found: FoundJob;
  readonly standing: Standing | undefined;
  readonly refusal: CliError | undefined;
}

/** Sends a command to a job, follows it to its receipt, and says what became of it. */
async function steer(
  invocation: Invocation,
  ref: string,
  options: SteerOptions,
  notDone: string,
  makeValue: (job: JobRecord) => LeverValue,
): Promise<number> {
  const { out, signal } = invocation;
  const room = await invocation.room();
  const found = await resolveJob(room, ref);
  invocation.interruptedNote = "What was asked stands: signalbox job ID shows what becomes of it.";
  const send = async (): Promise<Result> => {
    try {
      const { job, generation } = await sendOnTop(room, found.job, options.for, makeValue);
      const sent = job.receipts.find((receipt) => receipt.generation === generation);
      if (!options.wait || waitsForStart(job, sent))
        return { found, standing: { receipt: sent, job, vitals: found.vitals }, refusal: undefined };
      const standing = await followReceipt(room, job, generation, {
        timeoutMs: options.timeout ?? defaultTimeoutMs,
        signal,
        onWait: (now) => out.status(`${job.name}: ${pendingWords(now, Date.now())}`),
      });
      return { found, standing, refusal: undefined };
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      return { found, standing: undefined, refusal: error };
    }
  };
  return report(invocation, await send(), notDone, options.wait);
}

/** Says what became of a command, and returns the exit code that it means. */
async function report(
  { out }: Invocation,
  { found, standing, refusal }: Result,
  notDone: string,
  wait: boolean,
): Promise<number> {
  const { id } = found.job;
  const name = sanitise(found.job.name);
  if (refusal || !standing) {
    const reason = refusal?.message ?? "";
    if (out.json) await out.object({ jobId: id, name: found.job.name, outcome: "refused", reason });
    out.error(
      `${name}: ${notDone.charAt(0).toLowerCase()}${notDone.slice(1)}: ${sanitise(reason)}${refusal?.hint ? `\n${refusal.hint}` : ""}`,
    );
    return refusal?.exitCode ?? exitCodes.failed;
  }
  const { receipt } = standing;
  const open = !receipt || isOpen(receipt);
  const fromStart = waitsForStart(standing.job, receipt);
  const done = receipt?.state === ReceiptState.APPLIED || receipt?.state === ReceiptState.PROVED;
  if (out.json) {
    const outcome = open ? (wait && !fromStart ? "pending" : "accepted") : enumWord(ReceiptStateSchema, receipt.state);
    await out.object({
      jobId: id,
      name: found.job.name,
      outcome,
      ...(receipt ? { receipt: receiptJson(receipt) } : {}),
    });
  } else if (open && !wait) await out.line(`${name}: accepted`);
  else if (open || done) await out.line(`${name}: ${outcomeWords(standing)}`);
  if (done || fromStart || (open && !wait)) return exitCodes.ok;
  if (open) return exitCodes.pending;
  if (!out.json) out.error(`${name}: ${notDone.charAt(0).toLowerCase()}${notDone.slice(1)}: ${outcomeWords(standing)}`);
  return exitCodes.failed;
}

/** Whether a command is only decided when the job starts: nothing can come of it before, however long one waits. */
function waitsForStart(job: JobRecord, receipt: Receipt | undefined): boolean {
  return receipt !== undefined && isOpen(receipt) && seenState(job).word === "Waiting";
}

/**
 * Sends the command that `makeValue` makes of the job. What builds on the job's present levers (a value that holds for a time and goes
 * back, parameters that are merged) is refused if they have changed meanwhile, and made anew.
 */
async function sendOnTop(
  room: Room,
  seen: JobRecord,
  holdMs: number | undefined,
  makeValue: (job: JobRecord) => LeverValue,
): Promise<{ job: JobRecord; generation: bigint }> {
  let job = seen;
  for (let left = tries; ; left--) {
    const value = makeValue(job);
    const lever = value.value.case;
    if (!lever) throw new RangeError("a value names its lever");
    const onTop = holdMs !== undefined || lever === "parameters";
    const requestId = randomUUID();
    const command = create(CommandSchema, {
      action: { case: "set", value },
      ...(holdMs === undefined
        ? {}
        : { hold: create(HoldSchema, { durationMs: BigInt(holdMs), then: lastingValue(job, lever) }) }),
      ifGeneration: onTop ? (job.spec?.generation ?? 0n) : 0n,
    });
    try {
      const answer = await room.call("", () => room.jobs.sendCommand({ requestId, jobId: job.id, command }));
      return { job: answer.job ?? job, generation: answer.generation };
    } catch (error) {
      const cause = error instanceof CliError ? error.cause : undefined;
      if (!(cause instanceof ConnectError) || cause.code !== Code.Aborted || left === 1) throw error;
      const fresh = await room.call("", () => room.jobs.getJob({ jobId: job.id }));
      job = fresh.job ?? job;
    }
  }
}

import { inspect } from "node:util";
import { create, type JsonObject } from "@bufbuild/protobuf";
import { AttemptEndSchema, EndOutcome, type AttemptEnd } from "@signalbox/protocol";
import { isAbort, messageOf } from "./errors.ts";
import { ProgramFailed, type ProgramEnd } from "./job.ts";

const longestReason = 2000;

/** What was asked of an attempt and what befell it, which is what its outcome depends on. */
export interface AttemptFate {
  readonly signal: AbortSignal;
  /** The job printed more than its worker may hold. */
  readonly overflow: Error | undefined;
  /** The abort has reached the job function through a safe point. */
  readonly interrupted: boolean;
  readonly cancelled: boolean;
  readonly released: boolean;
}

/** How an attempt ended, as far as its job goes. */
export interface AttemptOutcome {
  readonly outcome: EndOutcome;
  readonly reason: string;
  readonly program: ProgramEnd;
  /** It did not end: it is given up, and may go on. */
  readonly mayStillRun?: boolean;
}

/** The job function has returned: its work is complete, unless a safe point has told it to end and it kept that to itself. */
export function outcomeOfReturn(program: ProgramEnd, fate: AttemptFate): AttemptOutcome {
  if (fate.overflow || fate.interrupted) return outcomeOfStop(fate, program);
  return { outcome: EndOutcome.SUCCEEDED, reason: "", program };
}

/** The job function has thrown: it has failed, or was stopped. */
export function outcomeOfError(error: unknown, fate: AttemptFate): AttemptOutcome {
  const program = error instanceof ProgramFailed ? error : {};
  const message = messageOf(error);
  if (!fate.signal.aborted) return { outcome: EndOutcome.FAILED, reason: message, program };
  const stopped = outcomeOfStop(fate, program);
  // A program that was told to end ends badly, and that is what was wanted.
  if (error instanceof ProgramFailed || fate.overflow || isAbort(error, fate.signal.reason)) return stopped;
  return { ...stopped, reason: `${stopped.reason} (while it stopped: ${message})` };
}

/** The job was to end within `graceMs` and has not: it is given up. */
export function outcomeOfGivingUp(fate: AttemptFate, graceMs: number): AttemptOutcome {
  const { outcome, reason, program } = outcomeOfStop(fate);
  const words = `given up, as it had not ended within ${inSeconds(graceMs)}: its function may still run`;
  return { outcome, reason: reason === "canceled" ? words : `${reason}; ${words}`, program, mayStillRun: true };
}

const inSeconds = (ms: number) => `${Number((ms / 1000).toPrecision(3))} s`;

/** The signal has aborted, and the job has ended by that. */
export function outcomeOfStop(fate: AttemptFate, program: ProgramEnd = {}): AttemptOutcome {
  const reason = fate.signal.aborted ? messageOf(fate.signal.reason) : "canceled";
  if (fate.overflow) return { outcome: EndOutcome.FAILED, reason: messageOf(fate.overflow), program };
  if (fate.cancelled) return { outcome: EndOutcome.CANCELED, reason, program };
  return { outcome: fate.released ? EndOutcome.RELEASED : EndOutcome.FAILED, reason, program };
}

/** The words that the log gets about an error; undefined if it needs none: a program has said itself what it had to say. */
export function traceOf(error: unknown, { signal }: AttemptFate): string | undefined {
  if (error instanceof ProgramFailed || (signal.aborted && isAbort(error, signal.reason))) return undefined;
  return inspectError(error);
}

/** An error as the log of its job shows it. */
export function inspectError(error: unknown): string {
  return inspect(error, { depth: 4, maxStringLength: 10_000 }).slice(0, 50_000);
}

/** What is reported of an outcome, once the server has the last line. `atUs` is when the job ended. */
export function endOf(
  {
    outcome,
    reason,
    program,
    mayStillRun = false,
    results,
  }: AttemptOutcome & { readonly results: JsonObject | undefined },
  endLine: number,
  atUs: number,
): AttemptEnd {
  const { exitCode, signal = "" } = program;
  return create(AttemptEndSchema, {
    outcome,
    reason: reason.slice(0, longestReason).toWellFormed(),
    // Exit codes of 32 bits, as some systems have, come as they are or as the negative number that they stand for.
    ...(exitCode === undefined ? {} : { exitCode: exitCode | 0 }),
    signal,
    endLine: BigInt(endLine),
    atUs: BigInt(atUs),
    ...(results ? { results } : {}),
    mayStillRun,
  });
}

import {
  JobState,
  ReceiptState,
  RunMode,
  WorkerLinkState,
  type JobRecord,
  type LeverValue,
  type Receipt,
  type Vitals,
} from "@signalbox/protocol";
import { duration, step } from "../ui/format.ts";
import { currentAttempt, isInDoubt, setting } from "./job-state.ts";

/** A way to go on where a command hangs. */
export type StrongerWay = "take-back" | "system-stop";

/** What the open step of a command waits for. */
export interface ReceiptWait {
  /** Since the step began, milliseconds. */
  readonly sinceMs: number;
  /** It takes longer than twice the usual, or than 2 s where the usual is not known. */
  readonly slow: boolean;
  /** What it waits for: `worker w1 has not answered for 8 s`. */
  readonly words: string;
  /** What can be done instead; undefined: nothing but to wait. */
  readonly stronger: StrongerWay | undefined;
}

/** What is known besides the command. */
export interface WaitContext {
  readonly job: JobRecord;
  readonly vitals: Vitals | undefined;
  /** The job's worker can have the system stop a job where it stands. */
  readonly systemStop: boolean;
  /** Server clock, milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

const slowMs = 2_000;
/** Below this nothing is slow: the page's own clock ticks no faster. */
const leastSlowMs = 250;
/** A proof needs some measurements of the worker. */
const proofSlowMs = 10_000;

/** What a command waits for; undefined: it is decided, and its effect measured as far as it can be. */
export function receiptWait(receipt: Receipt, context: WaitContext): ReceiptWait | undefined {
  const { job, vitals, nowMs } = context;
  const worker = currentAttempt(job)?.workerId ?? "";
  const since = (us: bigint) => Math.max(0, nowMs - Number(us) / 1000);
  const away = linkWords(job, vitals, worker, nowMs);
  if (isInDoubt(receipt)) {
    const words = `its lever is back; whether worker ${worker} had it shows when it answers`;
    return { sinceMs: since(receipt.acceptedAtUs), slow: true, words, stronger: undefined };
  }
  if (receipt.state === ReceiptState.ACCEPTED) {
    const sinceMs = since(receipt.acceptedAtUs);
    const words = away ?? `worker ${worker} has not answered for ${duration(sinceMs)}`;
    return { sinceMs, slow: sinceMs > slowMs, words, stronger: "take-back" };
  }
  if (receipt.state === ReceiptState.DELIVERED) {
    const sinceMs = since(receipt.deliveredAtUs);
    const mode = runModeOf(receipt.value);
    const usualMs = mode === RunMode.PAUSE ? usualSafePointMs(job, vitals) : undefined;
    const slow = sinceMs > (usualMs === undefined ? slowMs : Math.max(leastSlowMs, 2 * usualMs));
    const stands = mode === RunMode.PAUSE && !bySystem(receipt.value) && context.systemStop && !away;
    return {
      sinceMs,
      slow,
      words: away ?? obeyWords(receipt.value, usualMs),
      stronger: stands ? "system-stop" : undefined,
    };
  }
  if (receipt.state !== ReceiptState.APPLIED || !isProvable(receipt, job)) return undefined;
  const sinceMs = since(receipt.decidedAtUs);
  return {
    sinceMs,
    slow: sinceMs > proofSlowMs,
    words: away ?? "waits for its effect to be measured",
    stronger: undefined,
  };
}

/** How long the job usually needs to reach a safe point, milliseconds; undefined if that is not known of the attempt that runs. */
export function usualSafePointMs(job: JobRecord, vitals: Vitals | undefined): number | undefined {
  if (vitals?.safePointMs === undefined || vitals.attempt !== currentAttempt(job)?.number) return undefined;
  return Number(vitals.safePointMs);
}

/** `12 ms`, `0.4 s`: about how long something takes. */
export function about(ms: number): string {
  return ms < 100 ? step(ms) : duration(ms);
}

/** Whether the effect of a command with this value can be measured at all. */
export function hasMeasure({ value }: LeverValue): boolean {
  if (value.case === "speed") return value.value.itemsPerSecond !== undefined;
  return value.case === "run" || value.case === "logLevel";
}

/** Whether the effect can still be measured: the attempt runs, and nobody has moved the lever since. */
function isProvable(receipt: Receipt, job: JobRecord): boolean {
  const lever = receipt.value?.value.case;
  return (
    receipt.value !== undefined &&
    lever !== undefined &&
    hasMeasure(receipt.value) &&
    receipt.attempt > 0 &&
    receipt.attempt === currentAttempt(job)?.number &&
    setting(job, lever)?.generation === receipt.generation
  );
}

/** Why nothing is heard of a worker; undefined: it is heard. */
function linkWords(job: JobRecord, vitals: Vitals | undefined, worker: string, nowMs: number): string | undefined {
  const link = vitals?.link;
  if (job.state === JobState.LOST || link?.state === WorkerLinkState.LOST) return `worker ${worker} is not connected`;
  if (link?.state === WorkerLinkState.SILENT && link.heardAtUs > 0n)
    return `worker ${worker} has been silent for ${duration(nowMs - Number(link.heardAtUs) / 1000)}`;
  return undefined;
}

function obeyWords(value: LeverValue | undefined, usualMs: number | undefined): string {
  switch (runModeOf(value)) {
    case RunMode.PAUSE:
      if (bySystem(value)) return "waits for the system to stop it";
      return `waits for a safe point${usualMs === undefined ? "" : `, usually ${about(usualMs)}`}`;
    case RunMode.RUN:
      return "waits for the job to go on";
    case RunMode.CANCEL:
      return "waits for the job to end";
    default:
      return "the worker has it and has not put it into effect";
  }
}

function runModeOf(value: LeverValue | undefined): RunMode | undefined {
  return value?.value.case === "run" ? value.value.value.mode : undefined;
}

function bySystem(value: LeverValue | undefined): boolean {
  return value?.value.case === "run" && value.value.value.bySystem;
}

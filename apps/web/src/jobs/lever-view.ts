import {
  JobState,
  LeverOutcome,
  ReceiptState,
  RunMode,
  type JobRecord,
  type LeverValue,
  type Vitals,
} from "@signalbox/protocol";
import { clock, duration, rate, step } from "../ui/format.ts";
import { valueText } from "./history.ts";
import { currentAttempt, isOpen, newestReceipt, report, seenState, setting } from "./job-state.ts";

/**
 * How a lever stands. `rest`: asked and seen are equal. `moving`: they differ. `refused`: the newest command was rejected, or never
 * reached the server. `fixed`: it does not move now; the note says why.
 */
export interface LeverView {
  readonly phase: "rest" | "moving" | "refused" | "fixed";
  /** What is asked. */
  readonly asked: LeverValue | undefined;
  /** What was observed; undefined if nothing was. */
  readonly seen: LeverValue | undefined;
  /** The repeater: what the lever waits for, how it was measured, or why it was refused. */
  readonly note: string;
}

/** What a lever's view is made from besides the job's record. */
export interface LeverContext {
  /** The value that this page has sent and that is not in the record yet. */
  readonly sent: LeverValue | undefined;
  /** The command that did not happen, in words. */
  readonly fault: string | undefined;
  /** Levers that the job's type obeys; undefined if that is not known. */
  readonly offered: readonly string[] | undefined;
  /** Server clock, milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

/** The run lever: Run or Pause. */
export function runLever(job: JobRecord, vitals: Vitals | undefined, context: LeverContext): LeverView {
  const asked = context.sent ?? setting(job, "run")?.value;
  const seen = seenRun(job);
  const view = (phase: LeverView["phase"], note: string): LeverView => ({ phase, asked, seen, note });
  const fixed = fixedNote(job, "run", context);
  if (fixed) return { ...view("fixed", fixed), asked: seen };
  if (context.fault) return view("refused", context.fault);
  if (context.sent) return view("moving", "on its way to the server");
  const receipt = newestReceipt(job, "run");
  const mode = runMode(asked);
  if (!currentAttempt(job))
    return view("rest", mode === RunMode.PAUSE ? "held: starts after Resume" : "starts when a worker is free");
  if (mode === RunMode.CANCEL) return { ...view("fixed", "cancelling: it goes to its end"), asked: seen };
  if (receipt?.state === ReceiptState.REJECTED && receipt.generation + 1n >= (setting(job, "run")?.generation ?? 0n))
    return view("refused", `refused: ${receipt.reason || "no reason given"}`);
  const open = receipt && isOpen(receipt) ? receipt : undefined;
  if (runMode(seen) !== mode || open) {
    const since = open ? `, ${duration(context.nowMs - Number(open.acceptedAtUs) / 1000)}` : "";
    if (open?.state === ReceiptState.ACCEPTED) return view("moving", `not with the worker yet${since}`);
    return view(
      "moving",
      `worker still ${runMode(seen) === RunMode.PAUSE ? "stands" : "runs, no safe point yet"}${since}`,
    );
  }
  if (vitals?.stalledBy && mode === RunMode.RUN) return view("rest", `stands: ${vitals.stalledBy}`);
  return view("rest", restNote(job, "run", context.nowMs));
}

/** The speed lever: items per second, or unlimited. */
export function speedLever(job: JobRecord, vitals: Vitals | undefined, context: LeverContext): LeverView {
  const wanted = setting(job, "speed")?.value;
  const asked = context.sent ?? wanted;
  const reported = report(job, "speed");
  const seen = reported && reported.outcome !== LeverOutcome.REJECTED ? reported.value : undefined;
  const view = (phase: LeverView["phase"], note: string): LeverView => ({ phase, asked, seen, note });
  const fixed = fixedNote(job, "speed", context);
  if (fixed) return view("fixed", fixed);
  if (context.fault) return view("refused", context.fault);
  if (context.sent) return view("moving", "on its way to the server");
  const receipt = newestReceipt(job, "speed");
  if (
    receipt?.state === ReceiptState.REJECTED &&
    receipt.generation + 1n >= (setting(job, "speed")?.generation ?? 0n)
  ) {
    const kept = wanted ? `. Runs on with ${valueText(wanted)}` : "";
    return view("refused", `refused: ${receipt.reason || "no reason given"}${kept}`);
  }
  if (!currentAttempt(job)) return view("rest", "holds from its start");
  if (receipt && isOpen(receipt)) {
    const since = duration(context.nowMs - Number(receipt.acceptedAtUs) / 1000);
    return view(
      "moving",
      receipt.state === ReceiptState.ACCEPTED ? `not with the worker yet, ${since}` : `worker has it, ${since}`,
    );
  }
  if (job.state === JobState.RUNNING && vitals) return view("rest", `measured ${rate(vitals.itemsPerSecond)}`);
  return view("rest", restNote(job, "speed", context.nowMs));
}

/** The mode of a run lever's value. */
export function runMode(value: LeverValue | undefined): RunMode {
  return value?.value.case === "run" ? value.value.value.mode : RunMode.RUN;
}

/** The limit of a speed lever's value; undefined is unlimited. */
export function speedOf(value: LeverValue | undefined): number | undefined {
  return value?.value.case === "speed" ? value.value.value.itemsPerSecond : undefined;
}

function seenRun(job: JobRecord): LeverValue | undefined {
  const mode = job.state === JobState.PAUSED ? RunMode.PAUSE : job.state === JobState.RUNNING ? RunMode.RUN : undefined;
  if (mode === undefined) return currentAttempt(job) ? undefined : setting(job, "run")?.value;
  return {
    $typeName: "signalbox.v1.LeverValue",
    value: { case: "run", value: { $typeName: "signalbox.v1.RunValue", mode, graceMs: 0, reason: "" } },
  };
}

function fixedNote(job: JobRecord, lever: "run" | "speed", { offered, nowMs }: LeverContext): string | undefined {
  if (seenState(job).ended) return "the job has ended";
  if (offered && !offered.includes(lever)) return "not offered by this type";
  if (job.state === JobState.LOST) {
    const receipt = newestReceipt(job, lever);
    if (receipt && isOpen(receipt))
      return `worker away, pending ${duration(nowMs - Number(receipt.acceptedAtUs) / 1000)}`;
    return "worker away";
  }
  return undefined;
}

function restNote(job: JobRecord, lever: "run" | "speed", nowMs: number): string {
  const receipt = newestReceipt(job, lever);
  if (receipt?.state === ReceiptState.APPLIED || receipt?.state === ReceiptState.PROVED)
    return `applied after ${step(Number(receipt.decidedAtUs - receipt.acceptedAtUs) / 1000)}, by ${receipt.actor?.name || "somebody"}`;
  if (receipt?.state === ReceiptState.EXPIRED) return "last command expired undelivered";
  return job.stateSinceUs > 0n ? `since ${clock(Number(job.stateSinceUs), nowMs)}` : "as it was started";
}

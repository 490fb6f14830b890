import {
  JobState,
  LeverOutcome,
  ReceiptState,
  RunMode,
  type JobRecord,
  type LeverValue,
  type Receipt,
  type Vitals,
} from "@signalbox/protocol";
import { clock, duration, rate, step } from "../ui/format.ts";
import { deadlineNote } from "./deadline.ts";
import { currentAttempt, isOpen, newestReceipt, report, seenState, setting, type LeverName } from "./job-state.ts";
import { valueText } from "./lever-words.ts";
import { itemRate, stalledBy } from "./progress.ts";
import { about, receiptWait, usualSafePointMs, type ReceiptWait } from "./receipt-wait.ts";

/**
 * How a lever stands. `rest`: asked and seen are equal. `moving`: they differ. `refused`: the newest command was rejected, or never
 * reached the server. `fixed`: it does not move now; the note says why. `idle`: at rest, with nothing that was measured or applied.
 */
export interface LeverView {
  readonly phase: "rest" | "moving" | "refused" | "fixed" | "idle";
  /** What is asked. */
  readonly asked: LeverValue | undefined;
  /** What was observed; undefined if nothing was. */
  readonly seen: LeverValue | undefined;
  /** The repeater: what the lever waits for, how it was measured, or why it was refused. */
  readonly note: string;
  /** The newest command, while it is not decided, and what it waits for. */
  readonly open?: { readonly receipt: Receipt; readonly wait: ReceiptWait } | undefined;
}

/** What a lever's view is made from besides the job's record. */
export interface LeverContext {
  /** The value that this page has sent and that is not in the record yet. */
  readonly sent: LeverValue | undefined;
  /** The command that did not happen, in words. */
  readonly fault: string | undefined;
  /** Levers that the job's type obeys, by the names of the contract; undefined if that is not known. */
  readonly offered: readonly string[] | undefined;
  /** The job's progress and its worker's link, if known. */
  readonly vitals?: Vitals | undefined;
  /** Its worker can have the system stop it where it stands. */
  readonly systemStop?: boolean;
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
  if (context.sent) return view("moving", onItsWay);
  const mode = runMode(asked);
  if (!currentAttempt(job))
    return view("rest", mode === RunMode.PAUSE ? "held: starts after Resume" : "starts when its turn comes");
  if (mode === RunMode.CANCEL) return { ...view("fixed", "cancelling: it goes to its end"), asked: seen };
  const refused = refusal(job, "run");
  if (refused) return view("refused", refusalNote(refused));
  const receipt = newestReceipt(job, "run");
  const open = receipt && isOpen(receipt) ? receipt : undefined;
  if (runMode(seen) !== mode || open) {
    const waits = open && openWait(job, open, context, vitals);
    const since = open ? `, ${duration(context.nowMs - Number(open.acceptedAtUs) / 1000)}` : "";
    const usualMs = mode === RunMode.PAUSE ? usualSafePointMs(job, vitals) : undefined;
    const usual = usualMs === undefined ? "" : `, usually ${about(usualMs)}`;
    const plain =
      open?.state === ReceiptState.ACCEPTED
        ? `not with the worker yet${since}`
        : `worker still ${runMode(seen) === RunMode.PAUSE ? "stands" : `runs, no safe point yet${usual}`}${since}`;
    const slow = open?.state === ReceiptState.ACCEPTED && waits?.wait.slow;
    return { ...view("moving", slow ? waits.wait.words : plain), open: waits };
  }
  if (stalledBy(job, vitals)) return view("moving", "stands, it should run");
  return view("rest", runRest(job, vitals, context.nowMs));
}

/** What the run lever says at rest: what brought it there, how long a pause usually takes, and whether the deadline's clock runs. */
function runRest(job: JobRecord, vitals: Vitals | undefined, nowMs: number): string {
  const usualMs = job.state === JobState.RUNNING ? usualSafePointMs(job, vitals) : undefined;
  return [
    restNote(job, "run", nowMs),
    usualMs === undefined ? "" : `pauses within ${about(usualMs)}`,
    deadlineNote(job, nowMs),
  ]
    .filter(Boolean)
    .join(" · ");
}

function openWait(
  job: JobRecord,
  receipt: Receipt,
  { systemStop = false, nowMs }: LeverContext,
  vitals: Vitals | undefined,
): LeverView["open"] {
  const wait = receiptWait(receipt, { job, vitals, systemStop, nowMs });
  return wait && { receipt, wait };
}

/** The speed lever: items per second, or unlimited. */
export function speedLever(job: JobRecord, vitals: Vitals | undefined, context: LeverContext): LeverView {
  return valueLever(job, "speed", context, () =>
    job.state === JobState.RUNNING && itemRate(vitals) !== undefined
      ? `measured ${rate(itemRate(vitals))}`
      : restNote(job, "speed", context.nowMs),
  );
}

/**
 * A lever whose value the worker puts into effect: speed, log level, parameters. `rest` is what it says when asked and seen are
 * equal, `words` a value in words.
 */
export function valueLever(
  job: JobRecord,
  lever: "speed" | "logLevel" | "parameters",
  context: LeverContext,
  rest: () => string = () => restNote(job, lever, context.nowMs),
  words: (value: LeverValue, other: LeverValue | undefined) => string = valueText,
): LeverView {
  const wanted = setting(job, lever)?.value;
  const asked = context.sent ?? wanted;
  const reported = report(job, lever);
  const seen = reported && reported.outcome !== LeverOutcome.REJECTED ? reported.value : undefined;
  const view = (phase: LeverView["phase"], note: string): LeverView => ({ phase, asked, seen, note });
  const fixed = fixedNote(job, lever, context);
  if (fixed) return view("fixed", fixed);
  if (context.fault) return view("refused", context.fault);
  if (context.sent) return view("moving", onItsWay);
  const refused = refusal(job, lever);
  if (refused) {
    const kept = wanted ? `. Runs on with ${words(wanted, refused.value)}` : "";
    return view("refused", `${refusalNote(refused)}${kept}`);
  }
  if (!currentAttempt(job)) return view("rest", "holds from its start");
  const receipt = newestReceipt(job, lever);
  if (receipt && isOpen(receipt)) {
    const since = duration(context.nowMs - Number(receipt.acceptedAtUs) / 1000);
    const waits = openWait(job, receipt, context, context.vitals);
    const plain =
      receipt.state === ReceiptState.ACCEPTED ? `not with the worker yet, ${since}` : `worker has it, ${since}`;
    const slow = receipt.state === ReceiptState.ACCEPTED && waits?.wait.slow;
    return { ...view("moving", slow ? waits.wait.words : plain), open: waits };
  }
  return view("rest", rest());
}

/** The mode of a run lever's value. */
export function runMode(value: LeverValue | undefined): RunMode {
  return value?.value.case === "run" ? value.value.value.mode : RunMode.RUN;
}

/** The limit of a speed lever's value; undefined is unlimited. */
export function speedOf(value: LeverValue | undefined): number | undefined {
  return value?.value.case === "speed" ? value.value.value.itemsPerSecond : undefined;
}

/** The newest command on a lever, if the worker refused it and nobody has moved the lever since. */
export function refusal(job: JobRecord, lever: LeverName): Receipt | undefined {
  const receipt = newestReceipt(job, lever);
  if (receipt?.state !== ReceiptState.REJECTED) return undefined;
  // Going back is one generation more than what was refused.
  return receipt.generation + 1n >= (setting(job, lever)?.generation ?? 0n) ? receipt : undefined;
}

/** What a lever says at rest of the command that brought it there. */
export function restNote(job: JobRecord, lever: LeverName, nowMs: number): string {
  const receipt = newestReceipt(job, lever);
  if (receipt?.state === ReceiptState.APPLIED || receipt?.state === ReceiptState.PROVED)
    return `applied after ${step(Number(receipt.decidedAtUs - receipt.acceptedAtUs) / 1000)}, by ${receipt.actor?.name || "somebody"}`;
  if (receipt?.state === ReceiptState.EXPIRED) return "last command expired undelivered";
  if (lever !== "run") return "as it was started";
  return job.stateSinceUs > 0n ? `since ${clock(Number(job.stateSinceUs), nowMs)}` : "as it was started";
}

/** What a lever says while a command of this page has not been answered. */
export const onItsWay = "on its way to the server";

function refusalNote(receipt: Receipt): string {
  return `refused: ${receipt.reason || "no reason given"}`;
}

function seenRun(job: JobRecord): LeverValue | undefined {
  const mode = job.state === JobState.PAUSED ? RunMode.PAUSE : job.state === JobState.RUNNING ? RunMode.RUN : undefined;
  if (mode === undefined) return currentAttempt(job) ? undefined : setting(job, "run")?.value;
  return {
    $typeName: "signalbox.v1.LeverValue",
    value: {
      case: "run",
      value: { $typeName: "signalbox.v1.RunValue", mode, graceMs: 0, reason: "", bySystem: false },
    },
  };
}

/** Names of levers in `JobType.levers`. */
const typeNames = { run: "run", speed: "speed", logLevel: "log_level", parameters: "parameters" } as const;

function fixedNote(
  job: JobRecord,
  lever: keyof typeof typeNames,
  { offered, nowMs }: LeverContext,
): string | undefined {
  if (seenState(job).ended) return "the job has ended";
  // The queue holds any job, and what has not begun can begin with other parameters.
  const byQueue = !currentAttempt(job) && (lever === "run" || lever === "parameters");
  if (offered && !byQueue && !offered.includes(typeNames[lever])) return "not offered by this type";
  if (job.state === JobState.LOST) {
    const receipt = newestReceipt(job, lever);
    if (receipt && isOpen(receipt))
      return `worker away, pending ${duration(nowMs - Number(receipt.acceptedAtUs) / 1000)}`;
    return "worker away";
  }
  return undefined;
}

import {
  JobState,
  ReceiptState,
  RunMode,
  WorkerLinkState,
  type JobRecord,
  type Receipt,
  type Vitals,
} from "@signalbox/protocol";
import { duration, exact, step } from "@signalbox/protocol/format";
import { currentAttempt, isInDoubt, isOpen } from "@signalbox/protocol/job-state";
import { leverWords, valueWords } from "./lever-values.ts";
import type { Room } from "./room.ts";
import { sanitise } from "./sanitise.ts";
import { watch, type Followed } from "./watch.ts";

/** A timer cannot wait longer, milliseconds. */
const longestTimerMs = 2 ** 31 - 1;

/** How far a command has come, and the job at that moment. */
export interface Standing {
  readonly receipt: Receipt | undefined;
  readonly job: JobRecord;
  readonly vitals: Vitals | undefined;
}

/**
 * Follows a command until it is decided, or `timeoutMs` are over: then the receipt is still open. `onWait` hears what is known
 * meanwhile. Throws CliError.
 */
export async function followReceipt(
  room: Room,
  start: JobRecord,
  generation: bigint,
  { timeoutMs, signal, onWait }: { timeoutMs: number; signal: AbortSignal; onWait?: (standing: Standing) => void },
): Promise<Standing> {
  const find = (job: JobRecord) => job.receipts.find((each) => each.generation === generation);
  let standing: Standing = { receipt: find(start), job: start, vitals: undefined };
  if (standing.receipt && !isOpen(standing.receipt)) return standing;
  const followed: Followed = {
    id: "job",
    kind: {
      case: "job",
      value: { $typeName: "signalbox.v1.JobSubscription", jobId: start.id },
    },
    cursor: new Uint8Array(),
  };
  const ends = AbortSignal.any([signal, AbortSignal.timeout(Math.min(timeoutMs, longestTimerMs))]);
  for await (const event of watch(room, [followed], ends)) {
    if (event.kind !== "message") continue;
    const { message } = event;
    if (message.case === "entries")
      for (const { record } of message.value.entries) {
        const receipt = record && find(record);
        if (!record || !receipt) continue;
        standing = { ...standing, receipt, job: record };
        if (!isOpen(receipt)) return standing;
      }
    else if (message.case === "vitals") standing = { ...standing, vitals: message.value.vitals.at(-1) };
    else continue;
    onWait?.(standing);
  }
  return standing;
}

/** What became of a command, in words that follow the job's name: `paused after 38 ms, at line 1,204`. */
export function outcomeWords(standing: Standing): string {
  const { receipt } = standing;
  if (!receipt) return "accepted";
  switch (receipt.state) {
    case ReceiptState.APPLIED:
    case ReceiptState.PROVED:
      return appliedWords(receipt, standing.job);
    case ReceiptState.REJECTED:
      return `refused: ${sanitise(receipt.reason) || "no reason given"}`;
    case ReceiptState.SUPERSEDED:
      return "superseded: a newer command on the same lever took its place";
    case ReceiptState.EXPIRED:
      return "expired: it was not delivered in time";
    case ReceiptState.WITHDRAWN:
      return "taken back before it was delivered";
    default:
      return pendingWords(standing, Date.now());
  }
}

/** What a command that is not decided waits for. `nowMs` is the server's clock. */
export function pendingWords({ receipt, job, vitals }: Standing, nowMs: number): string {
  if (receipt && isInDoubt(receipt))
    return "accepted, and no longer wanted: its lever is back; whether the worker had it shows when it answers";
  const link = vitals?.link;
  const heard = link && link.heardAtUs > 0n ? ` for ${duration(nowMs - Number(link.heardAtUs) / 1000)}` : "";
  if (job.state === JobState.LOST) return `accepted; its worker is lost${heard}; it stands pending until it is back`;
  if (!currentAttempt(job)) return "accepted; the job waits in the queue; it holds from its start";
  if (link?.state === WorkerLinkState.SILENT) return `accepted; its worker is silent${heard}; it stands pending`;
  const since = receipt ? duration(nowMs - Number(receipt.acceptedAtUs) / 1000) : "";
  return receipt?.state === ReceiptState.DELIVERED
    ? `accepted; its worker has it and has not put it into effect for ${since}; it stands`
    : `accepted; its worker has not got it for ${since}; it stands pending`;
}

function appliedWords(receipt: Receipt, job: JobRecord): string {
  const { value } = receipt.value ?? {};
  if (!value?.case || !receipt.value) return "applied";
  const run = value.case === "run" ? value.value.mode : undefined;
  if (receipt.attempt === 0) {
    if (run === RunMode.CANCEL)
      return `canceled before ${job.attempts.length === 0 ? "it started" : "its next attempt"}`;
    if (run === RunMode.PAUSE) return `held in the queue${holdWords(receipt)}: it starts after resume`;
    if (run === RunMode.RUN) return "let go: it starts when its turn comes";
  }
  const what =
    run === undefined
      ? `${leverWords[value.case]} ${value.case === "parameters" ? "set" : valueWords(receipt.value)}`
      : run === RunMode.CANCEL
        ? "canceled"
        : run === RunMode.PAUSE
          ? "paused"
          : "resumed";
  const after = step(Number(receipt.decidedAtUs - receipt.acceptedAtUs) / 1000);
  const at = receipt.atLine > 0n ? `, at line ${exact(Number(receipt.atLine))}` : "";
  return `${what}${holdWords(receipt)} after ${after}${at}`;
}

function holdWords({ hold }: Receipt): string {
  if (!hold?.then) return "";
  return ` for ${duration(Number(hold.durationMs))}, then ${valueWords(hold.then)},`;
}

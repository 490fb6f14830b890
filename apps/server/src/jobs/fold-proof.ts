import { EndOutcome, ReceiptState, type JobRecord, type LeverValue, type Receipt } from "@signalbox/protocol";
import { exact } from "@signalbox/protocol/format";
import { begin, openAttempt } from "./job-record.ts";
import { isCancel, leverOf, settingOf } from "./levers.ts";

// Proofs: that the effect of a command was measured, after its worker said that it is in effect. See job-fold.ts for the rules of all folds.

/** Receipts whose effect can be measured and was not yet: applied in the open attempt, and nobody has moved the lever since. */
export function provable(record: JobRecord): Receipt[] {
  const attempt = openAttempt(record);
  if (!attempt) return [];
  return record.receipts.filter((receipt) => isProvable(record, receipt, attempt.number));
}

/** The cancel that ended the newest attempt by its worker's word and is not proved yet, and what is known by that; undefined if there is none. */
export function provedCancel(record: JobRecord): { generation: bigint; measure: string } | undefined {
  const attempt = record.attempts.at(-1);
  // What the room ended by itself is nobody's word.
  if (attempt?.end?.outcome !== EndOutcome.CANCELED || attempt.end.atUs === 0n || attempt.end.mayStillRun)
    return undefined;
  const receipt = record.receipts.findLast(
    (each) => each.state === ReceiptState.APPLIED && each.attempt === attempt.number && isCancel(each.value),
  );
  if (!receipt) return undefined;
  const { endLine } = attempt.end;
  const measure = endLine > 1n ? `it ended after line ${exact(Number(endLine - 1n))}` : "it ended without a line";
  return { generation: receipt.generation, measure };
}

/** The record after the effect of a command was measured; undefined if the command is not applied any more, or is proved already. */
export function foldProof(before: JobRecord, generation: bigint, measure: string, now: number): JobRecord | undefined {
  const isWaiting =
    provedCancel(before)?.generation === generation || provable(before).some((each) => each.generation === generation);
  if (!isWaiting) return undefined;
  const record = begin(before);
  const receipt = record.receipts.find((each) => each.generation === generation);
  if (!receipt) return undefined;
  receipt.state = ReceiptState.PROVED;
  receipt.proof = measure;
  receipt.provedAtUs = BigInt(now);
  return record;
}

function isProvable(record: JobRecord, receipt: Receipt, attempt: number): boolean {
  if (receipt.state !== ReceiptState.APPLIED || receipt.attempt !== attempt || !receipt.value) return false;
  return hasEffect(receipt.value) && settingOf(record.spec, leverOf(receipt.value))?.generation === receipt.generation;
}

/** Whether what a value does while the job runs shows in its vitals. */
function hasEffect({ value }: LeverValue): boolean {
  switch (value.case) {
    case "run":
    case "logLevel":
      return true;
    case "speed":
      // Without a limit there is nothing to be within.
      return value.value.itemsPerSecond !== undefined;
    case "priority":
    case "parameters":
    case undefined:
      return false;
  }
}

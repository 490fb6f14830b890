import { create } from "@bufbuild/protobuf";
import { LeverValueSchema, ReceiptState, type JobRecord, type LeverValue, type Receipt } from "@signalbox/protocol";
import { duration } from "@signalbox/protocol/format";
import { isInDoubt } from "@signalbox/protocol/job-state";
import { Refused } from "../refused.ts";
import { endsByDeadline } from "./attempt-clock.ts";
import { openAttempt } from "./job-record.ts";
import { graceOf, isCancel, settingOf } from "./levers.ts";

/**
 * The value as it is set on a job that may be canceled already: a cancel latches where it is received, and only a shorter grace replaces
 * it. One that asks for no more than the first did, but would end later, gets what is left of the first: that is when the job ends. Throws
 * Refused for one that asks for more. Whoever cancels a job that the server ends for its deadline cancels it all the same, within that
 * grace.
 */
export function withinFirstGrace(record: JobRecord, value: LeverValue, now: number): LeverValue {
  const attempt = openAttempt(record);
  const setting = settingOf(record.spec, "run");
  const askedMs = graceOf(value);
  const standingMs = graceOf(setting?.value);
  if (!attempt || askedMs === undefined || standingMs === undefined) return value;

  const received = record.receipts.filter(
    (each) => each.state === ReceiptState.DELIVERED && isCancel(each.value) && !isInDoubt(each),
  );
  const leftMs = Math.min(standingMs, ...received.map((each) => leftOf(each, now)));
  if (askedMs > standingMs && !endsByDeadline(record, attempt)) {
    const actor = record.receipts.find(({ generation }) => generation === setting?.generation)?.actor;
    throw new Refused(
      "wrong-state",
      `The job is being canceled already${actor?.name ? ` by ${actor.name}` : ""}, with a grace of ${inWords(standingMs)}` +
        `${received.length > 0 ? `, of which ${inWords(leftMs)} are left` : ""}. ` +
        `Another cancel can only shorten that, not give ${inWords(askedMs)}.`,
    );
  }
  if (askedMs <= leftMs || value.value.case !== "run") return value;
  return create(LeverValueSchema, { value: { case: "run", value: { ...value.value.value, graceMs: leftMs } } });
}

/** What is left of the grace of a cancel that the worker has, milliseconds. */
function leftOf({ value, deliveredAtUs }: Receipt, now: number): number {
  const sinceMs = Math.floor((now - Number(deliveredAtUs)) / 1000);
  return Math.max(0, (graceOf(value) ?? 0) - sinceMs);
}

/** With ordinary spaces, for clients that print what they hear. */
function inWords(ms: number): string {
  return duration(ms).replaceAll("\u00a0", " ");
}

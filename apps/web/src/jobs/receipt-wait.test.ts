import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  JobState,
  ReceiptSchema,
  ReceiptState,
  RunMode,
  VitalsSchema,
  WorkerLinkState,
  type LeverValue,
} from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { deadlineNote, deadlineText, retryText } from "./deadline.ts";
import { receiptWait } from "./receipt-wait.ts";
import { jobRecord, runValue, speedValue } from "./samples.ts";

const nowMs = 1_000_000;
const us = (ms: number) => BigInt(Math.round(ms * 1000));
const plain = (text: string | undefined) => text?.replaceAll("\u00a0", " ");
type JobInit = Parameters<typeof jobRecord>[0];
type VitalsInit = Exclude<MessageInitShape<typeof VitalsSchema>, { $typeName: string }>;

/** What a command says that has stood at a state for so long. */
function wait(
  value: LeverValue,
  state: ReceiptState,
  sinceMs: number,
  vitals: VitalsInit = {},
  {
    job = {},
    systemStop = false,
    supersededBy = 0n,
  }: { job?: JobInit; systemStop?: boolean; supersededBy?: bigint } = {},
) {
  const at = us(nowMs - sinceMs);
  const receipt = create(ReceiptSchema, {
    generation: 2n,
    value,
    state,
    acceptedAtUs: state === ReceiptState.ACCEPTED ? at : at - 5_000n,
    deliveredAtUs: state >= ReceiptState.DELIVERED ? at : 0n,
    decidedAtUs: state >= ReceiptState.APPLIED ? at : 0n,
    attempt: state >= ReceiptState.APPLIED ? 1 : 0,
    supersededBy,
  });
  const record = jobRecord({
    state: JobState.RUNNING,
    attempts: [{ number: 1, workerId: "w1" }],
    spec: { generation: 2n, levers: [{ generation: 2n, value }] },
    ...job,
  });
  const known = create(VitalsSchema, { attempt: 1, ...vitals });
  const found = receiptWait(receipt, { job: record, vitals: known, systemStop, nowMs });
  return found && { ...found, words: plain(found.words) };
}

const pause = runValue(RunMode.PAUSE);

describe("an open step", () => {
  test("is slow after 2 s where the usual is not known, and says who has not answered", () => {
    expect(wait(pause, ReceiptState.ACCEPTED, 1_900)).toMatchObject({ slow: false, stronger: "take-back" });
    expect(wait(pause, ReceiptState.ACCEPTED, 8_000)).toEqual({
      sinceMs: 8_000,
      slow: true,
      words: "worker w1 has not answered for 8.0 s",
      stronger: "take-back",
    });
  });

  test("is slow after twice the usual where that is known", () => {
    const usual = { safePointMs: 400n };
    expect(wait(pause, ReceiptState.DELIVERED, 790, usual)?.slow).toBe(false);
    expect(wait(pause, ReceiptState.DELIVERED, 810, usual)).toMatchObject({
      slow: true,
      words: "waits for a safe point, usually 0.4 s",
      stronger: undefined,
    });
    expect(wait(pause, ReceiptState.DELIVERED, 1_500)).toMatchObject({ slow: false, words: "waits for a safe point" });
    // What was usual of another attempt says nothing of this one.
    expect(wait(pause, ReceiptState.DELIVERED, 1_500, { ...usual, attempt: 2 })?.slow).toBe(false);
  });

  test("offers to stop by the system where the type allows it, and only what waits for a safe point", () => {
    const systemStop = true;
    expect(wait(pause, ReceiptState.DELIVERED, 3_000, {}, { systemStop })?.stronger).toBe("system-stop");
    expect(wait(runValue(RunMode.RUN), ReceiptState.DELIVERED, 3_000, {}, { systemStop })?.stronger).toBeUndefined();
    const forced = runValue(RunMode.PAUSE);
    if (forced.value.case === "run") forced.value.value.bySystem = true;
    expect(wait(forced, ReceiptState.DELIVERED, 3_000, {}, { systemStop })).toMatchObject({
      words: "waits for the system to stop it",
      stronger: undefined,
    });
  });

  test("says that the worker is silent or gone before anything else", () => {
    const link = { state: WorkerLinkState.SILENT, heardAtUs: us(nowMs - 12_000) };
    expect(wait(pause, ReceiptState.ACCEPTED, 3_000, { link })?.words).toBe("worker w1 has been silent for 12 s");
    expect(
      wait(pause, ReceiptState.DELIVERED, 3_000, {}, { job: { state: JobState.LOST }, systemStop: true }),
    ).toMatchObject({ words: "worker w1 is not connected", stronger: undefined });
  });

  test("of what was taken back on its way waits for the worker's word, and is not taken back twice", () => {
    for (const state of [ReceiptState.ACCEPTED, ReceiptState.DELIVERED])
      expect(wait(pause, state, 100, {}, { supersededBy: 3n, systemStop: true })).toMatchObject({
        slow: true,
        words: "its lever is back; whether worker w1 had it shows when it answers",
        stronger: undefined,
      });
    expect(wait(pause, ReceiptState.SUPERSEDED, 100, {}, { supersededBy: 3n })).toBeUndefined();
  });

  test("is the proof where an effect can be measured, as long as it still can", () => {
    expect(wait(pause, ReceiptState.APPLIED, 3_000)).toMatchObject({
      slow: false,
      words: "waits for its effect to be measured",
    });
    expect(wait(pause, ReceiptState.APPLIED, 12_000)?.slow).toBe(true);
    expect(wait(speedValue(), ReceiptState.APPLIED, 12_000)).toBeUndefined();
    const moved = { spec: { generation: 3n, levers: [{ generation: 3n, value: pause }] } };
    expect(wait(pause, ReceiptState.APPLIED, 12_000, {}, { job: moved })).toBeUndefined();
    for (const state of [ReceiptState.PROVED, ReceiptState.REJECTED, ReceiptState.SUPERSEDED, ReceiptState.WITHDRAWN])
      expect(wait(pause, state, 12_000)).toBeUndefined();
  });
});

describe("a deadline", () => {
  const job = (more: JobInit, runsWhilePaused = false) =>
    jobRecord({ state: JobState.RUNNING, deadline: { afterMs: 600_000n, runsWhilePaused }, ...more });

  test("says how long the attempt may run yet, and whether the clock stands", () => {
    const runs = job({ attempts: [{ number: 1, deadlineUsedMs: 60_000n, deadlineSinceUs: us(nowMs - 19_000) }] });
    expect(deadlineNote(runs, nowMs)).toBe("deadline in 8:41");
    const stands = job({ attempts: [{ number: 1, deadlineUsedMs: 60_000n }] });
    expect(deadlineNote(stands, nowMs)).toBe("deadline stands, 9:00 left");
    expect(plain(deadlineText(stands, nowMs))).toBe("10 m 00 s an attempt, stands while paused; 9:00 left, stands");
    expect(plain(deadlineText(job({ attempts: [] }, true), nowMs))).toBe("10 m 00 s an attempt, runs on while paused");
    expect(deadlineNote(jobRecord(), nowMs)).toBe("");
  });
});

test("a job that is tried again says when, and which attempt that is", () => {
  const retry = { mostAttempts: 5, backOffMs: 1_000n };
  const text = (more: JobInit) => plain(retryText(jobRecord({ retry, ...more }), nowMs));
  expect(text({ tries: 2, retryAtUs: us(nowMs + 12_000) })).toBe("retries in 12 s, try 3 of 5");
  expect(text({ tries: 3 })).toBe("try 3 of 5");
  expect(text({ tries: 5 })).toBe("try 5 of 5, no other by itself");
  expect(retryText(jobRecord(), nowMs)).toBeUndefined();
});

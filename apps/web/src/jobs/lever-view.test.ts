import { create } from "@bufbuild/protobuf";
import { JobState, LeverOutcome, ReceiptState, RunMode, VitalsSchema } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { runLever, runMode, speedLever, speedOf, type LeverContext } from "./lever-view.ts";
import { jobRecord, runValue, speedValue } from "./samples.ts";

const nowMs = 1_000_000;
const us = (ms: number) => BigInt(ms * 1000);
const context = (more: Partial<LeverContext> = {}): LeverContext => ({
  sent: undefined,
  fault: undefined,
  offered: ["run", "speed"],
  nowMs,
  ...more,
});
const plain = (text: string) => text.replaceAll("\u00a0", " ");
const attempts = [{ number: 1, workerId: "box", assignedAtUs: 1n }];
const asked = (mode: RunMode, state: ReceiptState, reason = "") => ({
  attempts,
  spec: { generation: 2n, levers: [{ generation: 2n, value: runValue(mode) }] },
  receipts: [
    {
      generation: 2n,
      value: runValue(mode),
      state,
      reason,
      actor: { name: "ana" },
      acceptedAtUs: us(nowMs - 1200),
      decidedAtUs: us(nowMs - 1162),
    },
  ],
});

describe("the run lever", () => {
  test("asked and seen differ until the worker's report, with a clock", () => {
    const pausing = runLever(
      jobRecord({ state: JobState.RUNNING, ...asked(RunMode.PAUSE, ReceiptState.DELIVERED) }),
      undefined,
      context(),
    );
    expect(pausing.phase).toBe("moving");
    expect([runMode(pausing.asked), runMode(pausing.seen)]).toEqual([RunMode.PAUSE, RunMode.RUN]);
    expect(plain(pausing.note)).toBe("worker still runs, no safe point yet, 1.2 s");
    const waits = runLever(
      jobRecord({ state: JobState.RUNNING, ...asked(RunMode.PAUSE, ReceiptState.ACCEPTED) }),
      undefined,
      context(),
    );
    expect(plain(waits.note)).toBe("not with the worker yet, 1.2 s");
    const paused = runLever(
      jobRecord({ state: JobState.PAUSED, ...asked(RunMode.PAUSE, ReceiptState.PROVED) }),
      undefined,
      context(),
    );
    expect(paused.phase).toBe("rest");
    expect(plain(paused.note)).toBe("applied after 38 ms, by ana");
  });
  test("the handle moves with the click, before the server has answered; the lamp does not", () => {
    const view = runLever(
      jobRecord({ state: JobState.RUNNING, attempts }),
      undefined,
      context({ sent: runValue(RunMode.PAUSE) }),
    );
    expect([view.phase, runMode(view.asked), runMode(view.seen)]).toEqual(["moving", RunMode.PAUSE, RunMode.RUN]);
  });
  test("a refusal says why", () => {
    const view = runLever(
      jobRecord({ state: JobState.RUNNING, ...asked(RunMode.PAUSE, ReceiptState.REJECTED, "cancelling") }),
      undefined,
      context(),
    );
    expect(view).toMatchObject({ phase: "refused", note: "refused: cancelling" });
    expect(
      runLever(
        jobRecord({ state: JobState.RUNNING, attempts }),
        undefined,
        context({ fault: "Raj paused 0.4 s before you." }),
      ).phase,
    ).toBe("refused");
  });
  test("what cannot move says why", () => {
    const note = (job: Parameters<typeof jobRecord>[0], more: Partial<LeverContext> = {}) =>
      runLever(jobRecord(job), undefined, context(more)).note;
    expect(note({ state: JobState.SUCCEEDED })).toBe("the job has ended");
    expect(note({ state: JobState.LOST, attempts })).toBe("worker away");
    expect(plain(note({ state: JobState.LOST, ...asked(RunMode.PAUSE, ReceiptState.ACCEPTED) }))).toBe(
      "worker away, pending 1.2 s",
    );
    expect(note({ state: JobState.RUNNING, attempts }, { offered: [] })).toBe("not offered by this type");
    expect(note({ state: JobState.QUEUED, ...asked(RunMode.PAUSE, ReceiptState.APPLIED), attempts: [] })).toBe(
      "held: starts after Resume",
    );
  });
});

describe("the speed lever", () => {
  const speed = (state: ReceiptState, reason = "") => ({
    state: JobState.RUNNING,
    attempts: [{ ...attempts[0], levers: [{ generation: 1n, value: speedValue(10), outcome: LeverOutcome.APPLIED }] }],
    spec: {
      generation: 2n,
      levers: [{ generation: 2n, value: speedValue(state === ReceiptState.REJECTED ? 10 : 50) }],
    },
    receipts: [{ generation: 2n, value: speedValue(50), state, reason, acceptedAtUs: us(nowMs - 300) }],
  });
  test("shows what is asked and what the worker has", () => {
    const view = speedLever(jobRecord(speed(ReceiptState.DELIVERED)), undefined, context());
    expect([view.phase, speedOf(view.asked), speedOf(view.seen), plain(view.note)]).toEqual([
      "moving",
      50,
      10,
      "worker has it, 0.3 s",
    ]);
  });
  test("at rest it is measured", () => {
    const view = speedLever(
      jobRecord(speed(ReceiptState.APPLIED)),
      create(VitalsSchema, { itemsPerSecond: 12.4 }),
      context(),
    );
    expect([view.phase, plain(view.note)]).toEqual(["rest", "measured 12.4 /s"]);
    const counts = speedLever(jobRecord(speed(ReceiptState.APPLIED)), create(VitalsSchema, { lines: 9n }), context());
    expect(plain(counts.note)).not.toContain("measured");
  });
  test("a refusal names what runs on", () => {
    const view = speedLever(jobRecord(speed(ReceiptState.REJECTED, "45 at most")), undefined, context());
    expect([view.phase, plain(view.note)]).toEqual(["refused", "refused: 45 at most. Runs on with 10 /s"]);
  });
});

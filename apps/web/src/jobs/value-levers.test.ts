import type { JsonObject } from "@bufbuild/protobuf";
import { JobState, Level, LeverOutcome, ReceiptState, type LeverValue } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { countdown, holdWords } from "./hold.ts";
import { logLevelLever } from "./log-level-lever.ts";
import { levelOf, logLevelValue } from "./log-level.ts";
import type { LeverContext } from "./lever-view.ts";
import { didWhat } from "./lever-words.ts";
import { parametersLever } from "./parameters-lever.ts";
import { parameterChanges, parametersValue } from "./parameters.ts";
import { priorityLever } from "./priority-lever.ts";
import { priorityOf, priorityText, priorityValue } from "./priority.ts";
import { jobRecord } from "./samples.ts";

const nowMs = 1_000_000;
const us = (ms: number) => BigInt(ms * 1000);
const context = (more: Partial<LeverContext> = {}): LeverContext => ({
  sent: undefined,
  fault: undefined,
  offered: ["run", "speed", "log_level", "parameters"],
  nowMs,
  ...more,
});
const plain = (text: string) => text.replaceAll("\u00a0", " ");

/** A running job whose worker has put `seen` into effect, and which was asked for `asked` 0.3 s ago. */
function steered(asked: LeverValue, seen: LeverValue, state: ReceiptState, more: object = {}) {
  const wanted = state === ReceiptState.REJECTED ? seen : asked;
  return {
    state: JobState.RUNNING,
    attempts: [
      { number: 1, workerId: "box", levers: [{ generation: 1n, value: seen, outcome: LeverOutcome.APPLIED }] },
    ],
    spec: {
      generation: 3n,
      levers: [{ generation: state === ReceiptState.REJECTED ? 3n : 2n, value: wanted, ...more }],
    },
    receipts: [
      {
        generation: 2n,
        value: asked,
        before: seen,
        state,
        reason: state === ReceiptState.REJECTED ? "45 at most" : "",
        actor: { name: "ana" },
        acceptedAtUs: us(nowMs - 300),
        decidedAtUs: us(nowMs - 262),
      },
    ],
  };
}

describe("the log level lever", () => {
  const debug = logLevelValue(Level.DEBUG);
  const info = logLevelValue(Level.INFO);

  test("asked and seen differ until the worker's report", () => {
    const view = logLevelLever(jobRecord(steered(debug, info, ReceiptState.DELIVERED)), context());
    expect([view.phase, levelOf(view.asked), levelOf(view.seen), plain(view.note)]).toEqual([
      "moving",
      Level.DEBUG,
      Level.INFO,
      "worker has it, 0.3 s",
    ]);
  });

  test("a level for a time says to what and when it goes back, once it is in effect", () => {
    const hold = (endsAtMs: number) => ({ hold: { durationMs: 600_000n, then: info, endsAtUs: us(endsAtMs) } });
    const timed = (endsAtMs: number, state: ReceiptState = ReceiptState.APPLIED) =>
      logLevelLever(jobRecord(steered(debug, debug, state, hold(endsAtMs))), context());
    expect(timed(nowMs + 521_000).note).toBe("back to INFO in 8:41");
    expect(timed(nowMs + 521_000).hold).toMatchObject({ leftMs: 521_000, runs: true });
    expect(timed(nowMs - 1).note).toBe("back to INFO now");
    expect(timed(0, ReceiptState.DELIVERED).hold).toBeUndefined();
  });

  test("lets every line through where it was never set, and does not move where the type has none", () => {
    const job = jobRecord({ state: JobState.RUNNING, attempts: [{ number: 1 }] });
    expect(levelOf(logLevelLever(job, context()).asked)).toBe(Level.TRACE);
    expect(logLevelLever(job, context({ offered: ["run"] }))).toMatchObject({
      phase: "fixed",
      note: "not offered by this type",
    });
  });
});

describe("the priority lever", () => {
  test("moves a waiting job, and says from what", () => {
    const job = jobRecord({
      state: JobState.QUEUED,
      spec: { generation: 2n, levers: [{ generation: 2n, value: priorityValue(10) }] },
      receipts: [{ generation: 2n, value: priorityValue(10), state: ReceiptState.APPLIED, actor: { name: "ana" } }],
    });
    const view = priorityLever(job, context());
    expect([view.phase, priorityOf(view.asked), view.note]).toEqual(["rest", 10, "set by ana, was normal"]);
  });

  test("is at rest on a job that has left the queue, and says so", () => {
    const view = priorityLever(jobRecord({ state: JobState.RUNNING, attempts: [{ number: 1 }] }), context());
    expect([view.phase, view.note]).toEqual(["idle", "orders the queue; this job has left it"]);
    expect(priorityLever(jobRecord({ state: JobState.FAILED }), context()).phase).toBe("fixed");
  });

  test("a number has a name, or its sign", () => {
    expect([0, 10, -100, 5, -7].map(priorityText)).toEqual(["Normal", "High", "Lowest", "+5", "−7"]);
  });
});

describe("the parameters lever", () => {
  const ten = parametersValue({ retries: 10, folder: "/srv" });
  const fifty = parametersValue({ retries: 50, folder: "/srv" });

  test("on its way shows what changes", () => {
    const view = parametersLever(jobRecord(steered(fifty, ten, ReceiptState.DELIVERED)), context());
    expect([view.phase, view.changes]).toEqual(["moving", [{ name: "retries", before: 10, after: 50 }]]);
  });

  test("a refusal says why, what was refused, and what the job runs on with", () => {
    const view = parametersLever(jobRecord(steered(fifty, ten, ReceiptState.REJECTED)), context());
    expect([view.phase, view.note]).toEqual(["refused", "refused: 45 at most. Runs on with retries 10"]);
    expect([view.asked, view.changes]).toEqual([ten, [{ name: "retries", before: 10, after: 50 }]]);
  });

  test("can be changed while the job waits, whatever its type", () => {
    const offered = ["run"];
    expect(parametersLever(jobRecord({ state: JobState.QUEUED }), context({ offered })).phase).toBe("rest");
    const running = jobRecord({ state: JobState.RUNNING, attempts: [{ number: 1 }] });
    expect(parametersLever(running, context({ offered })).note).toBe("not offered by this type");
  });

  test("changes are told by their place", () => {
    const before: JsonObject = { a: 1, deep: { x: [1], y: 2 }, gone: true };
    const after: JsonObject = { a: 1, deep: { x: [1, 2], y: 2 }, fresh: "" };
    expect(parameterChanges(before, after)).toEqual([
      { name: "deep.x", before: [1], after: [1, 2] },
      { name: "fresh", before: undefined, after: "" },
      { name: "gone", before: true, after: undefined },
    ]);
  });
});

test("commands on these levers in words", () => {
  const hold = { $typeName: "signalbox.v1.Hold" as const, durationMs: 600_000n, remainingMs: 0n, endsAtUs: 0n };
  expect(plain(didWhat(logLevelValue(Level.DEBUG), logLevelValue(Level.INFO), hold))).toBe(
    "set log level INFO → DEBUG for 10 min",
  );
  expect(didWhat(priorityValue(-10), priorityValue(0))).toBe("set priority normal → low");
  expect(didWhat(parametersValue({ a: 2, b: 1 }), parametersValue({ a: 1, b: 1 }))).toBe("set parameters a 1 → 2");
});

test("times that run down", () => {
  expect([521_000, 8_200, 500, 0, 3_723_000].map(countdown)).toEqual(["8:41", "0:09", "0:01", "0:00", "1:02:03"]);
  expect([60_000, 600_000, 3_600_000, 90_000].map((ms) => plain(holdWords(ms)))).toEqual([
    "1 min",
    "10 min",
    "1 h",
    "1 m 30 s",
  ]);
});

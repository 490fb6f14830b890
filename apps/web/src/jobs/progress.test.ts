import { create } from "@bufbuild/protobuf";
import { EndOutcome, JobState, ReceiptState, RunMode, VitalsSchema, WorkerLinkState } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { errorLines, eta, itemRate, progressText, share } from "./progress.ts";
import { jobRecord, runValue } from "./samples.ts";

const nowMs = 1_000_000;
const us = (ms: number) => BigInt(ms * 1000);
const plain = (job: Parameters<typeof progressText>[0], init?: Parameters<typeof create<typeof VitalsSchema>>[1]) => {
  const { share, strong, text } = progressText(job, init && create(VitalsSchema, init), nowMs);
  return [share === undefined ? "" : `[${share}] `, strong, text].join("").replaceAll("\u00a0", " ");
};
const asked = (mode: RunMode, graceMs = 0, deliveredMs = 0) => ({
  spec: {
    generation: 2n,
    levers: [{ generation: 2n, value: { value: { case: "run" as const, value: { mode, graceMs } } } }],
  },
  receipts: [
    {
      generation: 2n,
      value: runValue(mode),
      actor: { name: "ana" },
      state: ReceiptState.DELIVERED,
      acceptedAtUs: us(nowMs - 1200),
      deliveredAtUs: us(deliveredMs || nowMs - 1200),
    },
  ],
});
const attempts = [{ number: 1, workerId: "box", assignedAtUs: 1n }];
const running = { state: JobState.RUNNING, attempts };
const work = { itemsDone: 184_000n, itemsTotal: 300_000n, itemNoun: "files" };

describe("the progress cell is never empty", () => {
  test("a queued job says why it waits", () => {
    expect(plain(jobRecord({ state: JobState.QUEUED }), { waitsFor: "no free slot (4 of 4 busy)" })).toBe(
      "waits: no free slot (4 of 4 busy)",
    );
    expect(plain(jobRecord({ state: JobState.QUEUED }))).toBe("waits for a worker");
    expect(plain(jobRecord({ state: JobState.QUEUED, ...asked(RunMode.PAUSE) }))).toBe(
      "held by ana, resume lets it start",
    );
    expect(plain(jobRecord({ state: JobState.QUEUED, attempts }))).toBe("given to box, which has not begun yet");
  });
  test("a job that will be tried again says when, which try it is, and how the one before ended", () => {
    const retry = { mostAttempts: 3, backOffMs: 10_000n };
    const failed = { outcome: EndOutcome.FAILED, reason: "exit code 2", exitCode: 2 };
    const waiting = { state: JobState.QUEUED, retryAtUs: us(nowMs + 38_000), retry, tries: 1 };
    const ended = [{ number: 1, workerId: "box", assignedAtUs: 1n, endedAtUs: 2n, end: failed }];
    expect(plain(jobRecord({ ...waiting, attempts: ended }))).toBe("next try in 38 s, 2 of 3 · exit 2");
    expect(plain(jobRecord({ ...waiting, retryAtUs: us(nowMs - 1), reason: "bad luck" }))).toBe(
      "next try now, 2 of 3 · bad luck",
    );
  });
  test("a running job shows its share, its ETA only when steady, and its items", () => {
    expect(plain(jobRecord(running), { ...work, etaMs: 96_000n })).toBe(
      "[0.6133333333333333] ETA 1 m 36 s · 184 k of 300 k files",
    );
    expect(plain(jobRecord(running), work)).toBe("[0.6133333333333333] ETA unsteady · 184 k of 300 k files");
    expect(plain(jobRecord(running), { itemsDone: 2000n, itemNoun: "lines" })).toBe("no total declared · 2,000 lines");
    expect(plain(jobRecord(running), { itemsDone: 1n, itemNoun: "pieces" })).toBe("no total declared · 1 piece");
    expect(plain(jobRecord(running))).toBe("no progress reported yet");
  });
  test("a percentage that a program printed is its share and nothing else", () => {
    const printed = { itemsDone: 42n, itemsTotal: 100n, etaMs: 6_000n };
    expect(plain(jobRecord(running), printed)).toBe("[0.42] ETA 6.0 s");
    expect(plain(jobRecord(running), { ...printed, itemNoun: "files" })).toBe("[0.42] ETA 6.0 s · 42 of 100 files");
  });
  test("a stall or a silent worker comes before numbers", () => {
    expect(plain(jobRecord(running), { ...work, stalledBy: "waiting for the log to drain" })).toContain(
      "stands: waiting for the log",
    );
    expect(plain(jobRecord(running), { link: { state: WorkerLinkState.SILENT, heardAtUs: us(nowMs - 12_000) } })).toBe(
      "worker silent 12 s",
    );
    const silent = { ...work, etaMs: 1n, link: { state: WorkerLinkState.SILENT, heardAtUs: us(nowMs - 12_000) } };
    expect(eta(jobRecord(running), create(VitalsSchema, silent))).toBeUndefined();
  });
  test("what is under way has a clock", () => {
    expect(plain(jobRecord({ ...running, ...asked(RunMode.PAUSE) }), work)).toContain("waits for a safe point, 1.2 s");
    expect(plain(jobRecord({ ...running, ...asked(RunMode.CANCEL, 30_000, nowMs - 8000) }))).toBe(
      "ends by itself within 22 s, then killed or given up",
    );
    expect(plain(jobRecord({ ...running, ...asked(RunMode.CANCEL, 5000, nowMs - 8000) }))).toContain("is over");
    expect(plain(jobRecord({ ...running, ...asked(RunMode.CANCEL) }))).toBe("waits for the worker, 1.2 s");
  });
  test("an end says how, and how long it took", () => {
    const ended = { endedAtUs: us(300_000), startedAtUs: us(109_000) };
    expect(
      plain(
        jobRecord({
          state: JobState.SUCCEEDED,
          ...ended,
          attempts: [{ number: 1, end: { outcome: EndOutcome.SUCCEEDED } }],
        }),
        { itemsDone: 96_012n, itemNoun: "files" },
      ),
    ).toBe("96 k files in 3 m 11 s");
    expect(
      plain(
        jobRecord({
          state: JobState.FAILED,
          attempts: [{ number: 1, end: { outcome: EndOutcome.FAILED, exitCode: 137, reason: "out of memory" } }],
        }),
      ),
    ).toBe("exit 137, SIGKILL, out of memory");
    expect(plain(jobRecord({ state: JobState.CANCELED, ...asked(RunMode.CANCEL) }), work)).toBe("by ana at 61.3 %");
    expect(
      plain(
        jobRecord({
          state: JobState.LOST,
          attempts: [{ number: 1, lostAtUs: us(nowMs - 5000) }],
          ...asked(RunMode.CANCEL),
        }),
      ),
    ).toBe("worker not heard, its lease ran out 5.0 s ago · cancel pending, death not verified");
  });
});

test.each([
  [{ exitCode: 3, reason: "exit code 3" }, "exit 3"],
  [{ exitCode: 3, reason: "exit code 30" }, "exit 3, exit code 30"],
  [{ signal: "SIGSEGV", reason: "ended by SIGSEGV (segmentation fault)" }, "exit 139, SIGSEGV (segmentation fault)"],
  [{ signal: "SIGTERM", reason: "ended by SIGTERM, sent where it runs" }, "exit 143, SIGTERM, sent where it runs"],
  [{ reason: "" }, "no reason given"],
])("a failure %o does not say its exit twice", (end, text) => {
  const failed = { number: 1, end: { outcome: EndOutcome.FAILED, ...end } };
  expect(plain(jobRecord({ state: JobState.FAILED, attempts: [failed] }))).toBe(text);
});

test("a share needs a total; bytes serve where items have none", () => {
  expect(share(create(VitalsSchema, { itemsDone: 5n }))).toBeUndefined();
  expect(share(create(VitalsSchema, { bytesDone: 5n, bytesTotal: 10n }))).toBe(0.5);
  expect(share(create(VitalsSchema, { itemsDone: 12n, itemsTotal: 10n }))).toBe(1);
});

test("errors are ERROR and FATAL lines", () => {
  expect(errorLines(create(VitalsSchema, { levelCounts: [0n, 1n, 2n, 3n, 4n, 5n, 6n] }))).toBe(11);
  expect(errorLines(undefined)).toBe(0);
});

test("a rate is known where items were counted: a job that prints and counts nothing does not stand at 0 a second", () => {
  const rateOf = (init: Parameters<typeof create<typeof VitalsSchema>>[1]) => itemRate(create(VitalsSchema, init));
  expect(itemRate(undefined)).toBeUndefined();
  expect(rateOf({ lines: 90n, linesPerSecond: 30 })).toBeUndefined();
  expect(rateOf({ itemsTotal: 10n })).toBe(0);
  expect(rateOf({ itemsDone: 3n })).toBe(0);
  expect(rateOf({ itemsDone: 3n, itemsPerSecond: 1.5 })).toBe(1.5);
});

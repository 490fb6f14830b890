import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  AttemptVitalsSchema,
  EndOutcome,
  GapSchema,
  JobState,
  LeverOutcome,
  type RunMode,
  VitalsReportSchema,
  WorkerHeartbeatSchema,
  type AttemptSpec,
} from "@signalbox/protocol";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { pause, TestRoom } from "../testing/open-test-room.ts";
import type { TestWorker } from "../testing/test-worker.ts";

let room: TestRoom;
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(() => room[Symbol.asyncDispose]());

function measure(worker: TestWorker, spec: AttemptSpec, vitals: MessageInitShape<typeof AttemptVitalsSchema>): void {
  worker.say({
    case: "vitals",
    value: create(VitalsReportSchema, {
      attempts: [create(AttemptVitalsSchema, { jobId: spec.jobId, attempt: spec.attempt, ...vitals })],
    }),
  });
}

test("masked secrets are counted upwards only, attempt by attempt, and lines in gaps are counted as missing", async () => {
  const worker = await room.connect();
  const spec = await room.startRunning(worker);
  const vitals = async () => (await room.domain.jobs.getJob({ jobId: spec.jobId })).vitals;
  measure(worker, spec, { redactions: 7n });
  measure(worker, spec, { redactions: 3n, phase: "later" });
  await expect.poll(async () => (await vitals())?.phase).toBe("later");
  expect((await vitals())?.redactions).toBe(7n);
  measure(worker, spec, { redactions: 2n ** 64n - 1n });
  await expect.poll(async () => (await vitals())?.redactions).toBe(BigInt(Number.MAX_SAFE_INTEGER));
  const push = worker.push(spec.jobId, 1);
  push.lines(["one"]);
  push.say({ case: "gap", value: create(GapSchema, { firstLine: 2n, lineCount: 5n }) });
  await push.acknowledged(7);
  await expect.poll(async () => (await vitals())?.missingLines).toBe(5n);
  expect((await vitals())?.lines).toBe(1n);
  worker.report(spec, { end: { outcome: EndOutcome.RELEASED, endLine: 7n, atUs: 1n } });
  const again = await worker.heard("spec", ({ attempt }) => attempt === 2);
  expect(await vitals()).toMatchObject({ attempt: 2, redactions: 0n, missingLines: 0n });
  measure(worker, again, { redactions: 1n });
  await expect.poll(async () => (await vitals())?.redactions).toBe(1n);
});

test("what a job has found out is shown while it runs, kept with its end, and forgotten with its attempt", async () => {
  const worker = await room.connect();
  const spec = await room.startRunning(worker);
  const shown = async () => (await room.domain.jobs.getJob({ jobId: spec.jobId })).vitals;
  measure(worker, spec, { results: { lines: 12, top: [["the", 3]] }, safePointMs: 40n });
  await expect.poll(async () => (await shown())?.results).toEqual({ lines: 12, top: [["the", 3]] });
  expect((await shown())?.safePointMs).toBe(40n);
  // Unset says that they are what they were; what is too long is not shown.
  measure(worker, spec, { phase: "on" });
  measure(worker, spec, { phase: "later", results: { text: "x".repeat(17_000) } });
  await expect.poll(async () => (await shown())?.phase).toBe("later");
  expect((await shown())?.results).toEqual({ lines: 12, top: [["the", 3]] });
  expect((await shown())?.safePointMs).toBeUndefined();
  worker.report(spec, { end: { outcome: EndOutcome.RELEASED, endLine: 1n, atUs: 1n, results: { lines: NaN } } });
  await worker.heard("spec", ({ attempt }) => attempt === 2);
  const { job, vitals } = await room.domain.jobs.getJob({ jobId: spec.jobId });
  expect(job?.attempts[0]?.end?.results).toEqual({ lines: null });
  expect(vitals?.results).toBeUndefined();
});

test("an end with more results than are kept is refused", async () => {
  const worker = await room.connect();
  const spec = await room.startRunning(worker);
  const results = { text: "x".repeat(17_000) };
  worker.report(spec, { end: { outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: 1n, results } });
  await expect.poll(() => String(worker.ended)).toMatch(/results of 17011 bytes as JSON, at most 16384/);
});

describe("what a worker measures does no harm", () => {
  const many = Array.from({ length: 4 });
  test.each<[string, (worker: TestWorker, spec: AttemptSpec) => void]>([
    [
      "more items done than there are",
      (worker, spec) =>
        many.forEach(() => measure(worker, spec, { itemsDone: 20n, itemsTotal: 10n, itemsPerSecond: 1, phase: "odd" })),
    ],
    [
      "a rate that is no number",
      (worker, spec) =>
        many.forEach(() => measure(worker, spec, { itemsTotal: 10n, itemsPerSecond: NaN, phase: "odd" })),
    ],
    [
      "a rate without end",
      (worker, spec) =>
        many.forEach(() => measure(worker, spec, { itemsTotal: 10n, itemsPerSecond: Infinity, phase: "odd" })),
    ],
    [
      "a rate of next to nothing",
      (worker, spec) =>
        many.forEach(() => measure(worker, spec, { itemsTotal: 2n ** 64n - 1n, itemsPerSecond: 1e-300, phase: "odd" })),
    ],
    [
      "a rate below zero",
      (worker, spec) =>
        many.forEach(() => measure(worker, spec, { itemsTotal: 10n, itemsPerSecond: -1, phase: "odd" })),
    ],
    ["a time at the end of all times", (worker, spec) => measure(worker, spec, { atUs: 2n ** 63n - 1n, phase: "odd" })],
    ["a time before all times", (worker, spec) => measure(worker, spec, { atUs: -(2n ** 63n), phase: "odd" })],
    [
      "very long words",
      (worker, spec) =>
        measure(worker, spec, { phase: `odd${"\u{1f600}".repeat(50_000)}`, stalledBy: "x".repeat(50_000) }),
    ],
    [
      "an answer to a heartbeat that was never sent",
      (worker, spec) => {
        worker.say({
          case: "heartbeat",
          value: create(WorkerHeartbeatSchema, {
            echoServerTimeUs: 1n,
            workerTimeUs: 1n,
            bufferedBytes: 2n ** 64n - 1n,
          }),
        });
        measure(worker, spec, { phase: "odd" });
      },
    ],
  ])("%s", async (_, disturb) => {
    const worker = await room.connect();
    const spec = await room.startRunning(worker);
    disturb(worker, spec);
    const vitals = async () => (await room.domain.jobs.getJob({ jobId: spec.jobId })).vitals;
    await expect.poll(async () => (await vitals())?.phase ?? "").toMatch(/^odd/);
    const seen = await room.watch([{ id: "jobs", kind: { case: "jobs", value: {} } }], (got) =>
      got.some(({ message }) => message.case === "vitals"),
    );
    expect(seen.length).toBeGreaterThan(1);
    const { job, generation } = await room.set(spec.jobId, pause);
    expect(job?.spec?.generation).toBe(generation);
    const known = await vitals();
    expect(Number.isFinite(known?.itemsPerSecond) && (known?.itemsPerSecond ?? -1) >= 0).toBe(true);
    expect([...(known?.phase ?? "")].length).toBeLessThanOrEqual(200);
    expect(known?.phase.isWellFormed()).toBe(true);
    expect(known?.stalledBy.length).toBeLessThanOrEqual(200);
    expect(known?.link?.roundTripUs ?? 0).toBeLessThan(60_000_000);
    expect(worker.isOpen).toBe(true);
  });
});

describe("a report", () => {
  const applied = { generation: 1n, outcome: LeverOutcome.APPLIED };
  test.each<[string, Parameters<TestWorker["report"]>[1], RegExp]>([
    [
      "with a checkpoint over 64 KiB",
      { checkpoint: new Uint8Array(64 * 1024 + 1) },
      /a checkpoint of 65537 bytes, at most 65536/,
    ],
    [
      "with ten thousand levers",
      { levers: Array.from({ length: 10_000 }, () => ({ generation: 1n })) },
      /10000 levers/,
    ],
    [
      "that is far too large",
      {
        levers: [
          {
            generation: 1n,
            value: { value: { case: "parameters", value: { parameters: { a: "x".repeat(300_000) } } } },
          },
        ],
      },
      /bytes, at most/,
    ],
    [
      "with parameters that JSON cannot hold",
      {
        levers: [{ ...applied, value: { value: { case: "parameters", value: { parameters: { a: [{ b: NaN }] } } } } }],
      },
      /NaN or an infinity/,
    ],
    [
      "with a speed that is no number",
      { levers: [{ ...applied, value: { value: { case: "speed", value: { itemsPerSecond: NaN } } } }] },
      /Speed NaN/,
    ],
    [
      "with a mode that there is not",
      { levers: [{ ...applied, value: { value: { case: "run", value: { mode: 77 as RunMode } } } }] },
      /takes RUN, PAUSE or CANCEL/,
    ],
  ])("%s is refused precisely, and another worker's job goes on", async (_, report, reason) => {
    const worker = await room.connect();
    const other = await room.connect({ workerId: "w2", types: [{ name: "other", levers: ["run"] }] });
    const spec = await room.startRunning(worker);
    const canary = await room.start({}, "other");
    const beside = await other.heard("spec", ({ jobId }) => jobId === canary.id);
    worker.report(spec, report);
    await worker.end();
    expect(ConnectError.from(worker.ended)).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringMatching(reason) as unknown,
    });
    other.report(beside);
    await room.state(canary.id, JobState.RUNNING);
    const again = room.dial({
      incarnation: worker.incarnation,
      attempts: [{ jobId: spec.jobId, attempt: 1, ...report }],
    });
    await again.end();
    expect(ConnectError.from(again.ended).code).toBe(Code.InvalidArgument);
    expect([...room.domain.domain.workers.sessions].map(({ workerId }) => workerId)).toEqual(["w2"]);
  });

  test("keeps only so much of its words", async () => {
    const worker = await room.connect();
    const spec = await room.startRunning(worker);
    const { generation } = await room.set(spec.jobId, pause);
    const asked = await worker.heard("spec", (each) => each.spec?.generation === generation);
    worker.report(asked, {
      levers: [{ generation, value: { value: pause }, outcome: LeverOutcome.REJECTED, reason: "y".repeat(40_000) }],
    });
    await expect.poll(async () => (await room.get(spec.jobId)).receipts.at(-1)?.reason.length).toBe(500);
    worker.report(asked, {
      end: { outcome: 2, reason: "z".repeat(40_000), signal: "s".repeat(40_000), endLine: 1n, atUs: 1n },
    });
    const ended = await room.state(spec.jobId, JobState.FAILED);
    expect(ended.attempts[0]?.end?.reason).toHaveLength(2000);
    expect(ended.attempts[0]?.end?.signal).toHaveLength(40);
  });

  test("of an end of which there is no kind is one of a failure, and does not queue the job for ever", async () => {
    const worker = await room.connect();
    const spec = await room.startRunning(worker);
    worker.report(spec, { end: { outcome: 99 as EndOutcome, reason: "odd", endLine: 1n, atUs: 1n } });
    expect((await room.state(spec.jobId, JobState.FAILED)).reason).toBe("odd");
  });

  test("on generations that were never given moves nothing", async () => {
    const worker = await room.connect();
    const spec = await room.startRunning(worker);
    worker.report(spec, {
      receivedGeneration: 2n ** 63n,
      levers: [{ generation: 2n ** 63n, value: { value: pause }, outcome: LeverOutcome.APPLIED }],
    });
    measure(worker, spec, { phase: "heard after the report" });
    await expect
      .poll(async () => (await room.domain.jobs.getJob({ jobId: spec.jobId })).vitals?.phase)
      .toBe("heard after the report");
    const { generation } = await room.set(spec.jobId, pause);
    const asked = await worker.heard("spec", (each) => each.spec?.generation === generation);
    expect((await room.get(spec.jobId)).state).toBe(JobState.RUNNING);
    worker.report(asked);
    await room.state(spec.jobId, JobState.PAUSED);
  });
});

import type { JsonObject } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { EndOutcome, JobState, LeverOutcome, Level, ReceiptState, RunMode } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cancel, failure, goOn, pause, TestRoom } from "../testing/open-test-room.ts";
import { settingOf, wantedRun } from "./levers.ts";

let room: TestRoom;
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(() => room[Symbol.asyncDispose]());

describe("a lever that cannot move", () => {
  test("because the job's type does not have it is refused, and the job runs on", async () => {
    const worker = await room.connect({ types: [{ name: "count", levers: ["run"] }] });
    const { jobId } = await room.startRunning(worker);
    const before = await room.get(jobId);
    expect(await failure(room.set(jobId, { case: "speed", value: { itemsPerSecond: 5 } }))).toEqual([
      Code.FailedPrecondition,
      "Jobs of type 'count' have no speed lever.",
    ]);
    expect((await failure(room.set(jobId, { case: "logLevel", value: { level: Level.DEBUG } })))[0]).toBe(
      Code.FailedPrecondition,
    );
    expect((await room.get(jobId)).spec).toEqual(before.spec);
  });

  test("and was never set before is taken back as a whole when a running worker rejects it", async () => {
    const worker = await room.connect();
    const { jobId } = await room.startRunning(worker);
    const { generation } = await room.set(jobId, { case: "speed", value: { itemsPerSecond: 5 } });
    const asked = await worker.heard("spec", (each) => each.spec?.generation === generation);
    worker.report(asked, {
      levers: [
        {
          generation,
          outcome: LeverOutcome.REJECTED,
          reason: "no",
          value: { value: { case: "speed", value: { itemsPerSecond: 5 } } },
        },
      ],
    });
    await worker.heard("spec", (each) => each.spec?.generation === generation + 1n);
    const after = await room.get(jobId);
    expect([after.state, settingOf(after.spec, "speed"), after.receipts.at(-1)?.state]).toEqual([
      JobState.RUNNING,
      undefined,
      ReceiptState.REJECTED,
    ]);
  });

  test("and a worker that rejects even what is in effect make no endless talk", async () => {
    const worker = await room.connect();
    const { jobId } = await room.startRunning(worker);
    const refuse = async (generation: bigint) => {
      const spec = await worker.heard("spec", (each) => each.spec?.generation === generation);
      worker.report(spec, {
        levers: [{ generation, outcome: LeverOutcome.REJECTED, reason: "never", value: { value: pause } }],
      });
    };
    const { generation } = await room.set(jobId, pause);
    await refuse(generation);
    await refuse(generation + 1n);
    const spec = await worker.heard("spec");
    worker.report(spec, { levers: [], checkpoint: Buffer.from("then") });
    await expect
      .poll(async () => Buffer.from((await room.get(jobId)).attempts[0]?.checkpoint ?? []).toString())
      .toBe("then");
    const { generation: next } = await room.set(jobId, pause);
    expect(next).toBe(generation + 2n);
  });

  test.each([
    ["a run mode that does not exist", { case: "run", value: { mode: 7 as RunMode } } as const],
    ["a level that does not exist", { case: "logLevel", value: { level: 9 as Level } } as const],
  ])("%s is refused", async (_, lever) => {
    const worker = await room.connect({ types: [{ name: "count", levers: ["run", "log_level"] }] });
    const { jobId } = await room.startRunning(worker);
    expect((await failure(room.set(jobId, lever)))[0]).toBe(Code.InvalidArgument);
  });

  test.each([
    ["verbosity 3", { verbosity: 3 }, /0 is ERROR, 1 is INFO, 2 is DEBUG/],
    ["a level and a verbosity", { level: Level.INFO, verbosity: 1 }, /set one of them/],
  ])("%s is refused, as a value, as what follows it, and at the start", async (_, logLevel, words) => {
    const worker = await room.connect({ types: [{ name: "count", levers: ["run", "log_level"] }] });
    const { jobId } = await room.startRunning(worker);
    const lever = { case: "logLevel", value: logLevel } as const;
    const hold = { durationMs: 1000n, then: { value: lever } };
    const start = { requestId: "verbose", type: "count", levers: [{ value: lever }] };
    for (const call of [
      room.set(jobId, lever),
      room.set(jobId, { case: "logLevel", value: { level: Level.INFO } }, { hold }),
      room.domain.jobs.startJob(start),
    ])
      expect(await failure(call)).toEqual([Code.InvalidArgument, expect.stringMatching(words)]);
  });

  test("because the job runs and its type takes parameters only at the start is refused; while it waits it is not", async () => {
    const parametersSchema = {
      type: "object",
      additionalProperties: false,
      properties: { n: { type: "integer", maximum: 9 }, m: { type: "integer", default: 4 } },
    };
    const worker = await room.connect({ slots: 1, types: [{ name: "count", levers: ["run"], parametersSchema }] });
    const { jobId } = await room.startRunning(worker);
    const parameters = (id: string, n: number) => room.set(id, { case: "parameters", value: { parameters: { n } } });
    expect(await failure(parameters(jobId, 1))).toEqual([
      Code.FailedPrecondition,
      expect.stringMatching(/take their parameters when they start, not while they run. Set them while the job waits/),
    ]);
    const { id } = await room.start({ n: 1 });
    expect(await failure(parameters(id, 10))).toEqual([Code.InvalidArgument, expect.stringMatching(/n must be <= 9/)]);
    const { job } = await parameters(id, 2);
    expect(settingOf(job?.spec, "parameters")?.value?.value.value).toMatchObject({ parameters: { n: 2, m: 4 } });
  });

  test("because priority orders the queue and the job has left it is refused; while it waits the queue obeys", async () => {
    const worker = await room.connect({ slots: 1 });
    const running = await room.startRunning(worker);
    const priority = (id: string, value: number) => room.set(id, { case: "priority", value: { priority: value } });
    expect(await failure(priority(running.jobId, 5))).toEqual([
      Code.FailedPrecondition,
      "Priority orders the queue; this job has left it. It can be set again when the job waits.",
    ]);
    expect((await failure(priority(running.jobId, 101)))[0]).toBe(Code.InvalidArgument);
    await room.start();
    const { id } = await room.start();
    expect((await priority(id, 5)).job?.receipts.at(-1)?.state).toBe(ReceiptState.APPLIED);
    worker.report(running, { end: { outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: 1n } });
    expect(await worker.heard("spec", ({ jobId }) => jobId !== running.jobId)).toMatchObject({ jobId: id });
  });

  test("parameters that do not fit the type's schema, or are too large, are refused", async () => {
    const parametersSchema = { type: "object", additionalProperties: false, properties: { n: { type: "integer" } } };
    const worker = await room.connect({ types: [{ name: "count", levers: ["run", "parameters"], parametersSchema }] });
    const { jobId } = await room.startRunning(worker);
    const parameters = (value: object) =>
      room.set(jobId, { case: "parameters", value: { parameters: value as Record<string, string> } });
    expect((await failure(parameters({ n: "x" })))[0]).toBe(Code.InvalidArgument);
    expect((await failure(parameters({ n: "x".repeat(70_000) })))[0]).toBe(Code.InvalidArgument);
    expect((await parameters({ n: 3 })).generation).not.toBe(0n);
  });
});

describe("cancel latches", () => {
  test("for a worker that tells of a refused pause alone: the lever goes back to cancel, and the cancel stays open", async () => {
    const worker = await room.connect();
    const { jobId } = await room.startRunning(worker);
    const { generation: first } = await room.set(jobId, cancel);
    const asked = await worker.heard("spec", (each) => each.spec?.generation === first);
    worker.report(asked, { levers: [] });
    await expect.poll(async () => (await room.get(jobId)).receipts.at(-1)?.state).toBe(ReceiptState.DELIVERED);
    const { generation } = await room.set(jobId, goOn);
    worker.report(asked, {
      receivedGeneration: generation,
      levers: [{ generation, outcome: LeverOutcome.REJECTED, reason: "cancelling", value: { value: goOn } }],
    });
    await worker.heard("spec", (each) => each.spec?.generation === generation + 1n);
    expect(wantedRun((await room.get(jobId)).spec)).toBe(RunMode.CANCEL);
    worker.report(asked, { levers: [], end: { outcome: EndOutcome.CANCELED, endLine: 1n, atUs: 1n } });
    const { receipts } = await room.state(jobId, JobState.CANCELED);
    expect(receipts.find((each) => each.generation === first)?.state).toBe(ReceiptState.APPLIED);
  });
});

describe("a value that holds for a time", () => {
  const soon = (durationMs: bigint, then = goOn) => ({ hold: { durationMs, then: { value: then } } });

  test("on a job that waits begins to run at once, and the job goes to a worker when it ends", async () => {
    const worker = await room.connect({ slots: 1 });
    const busy = await room.startRunning(worker);
    const { id } = await room.start();
    const { job } = await room.set(id, pause, soon(1n));
    expect(job?.receipts.at(-1)?.state).toBe(ReceiptState.APPLIED);
    await expect.poll(async () => wantedRun((await room.get(id)).spec)).toBe(RunMode.RUN);
    worker.report(busy, { end: { outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: 1n } });
    await worker.heard("spec", (spec) => spec.jobId === id);
  });

  test.each([
    ["a cancel", cancel, { durationMs: 10n, then: { value: goOn } }],
    ["followed by a cancel", pause, { durationMs: 10n, then: { value: cancel } }],
    ["a time beyond a year", pause, { durationMs: 2n ** 60n, then: { value: goOn } }],
  ])("cannot be %s", async (_, lever, hold) => {
    const { jobId } = await room.startRunning(await room.connect());
    expect((await failure(room.set(jobId, lever, { hold })))[0]).toBe(Code.InvalidArgument);
  });

  test("ends when the server says, whatever the caller wrote into it", async () => {
    const { jobId } = await room.startRunning(await room.connect());
    await room.set(jobId, pause, { hold: { durationMs: 60_000n, then: { value: goOn }, endsAtUs: 1n } });
    expect(settingOf((await room.get(jobId)).spec, "run")?.hold?.endsAtUs).toBe(0n);
  });

  test("and does not say what follows goes back to what was before, also if that is asked for twice", async () => {
    const worker = await room.connect({ types: [{ name: "count", levers: ["run", "log_level"] }] });
    const { jobId } = await room.startRunning(worker);
    const verbose = (verbosity: number, more = {}) => room.set(jobId, { case: "logLevel", value: { verbosity } }, more);
    const level = async () => settingOf((await room.get(jobId)).spec, "logLevel");
    await verbose(1);
    for (let i = 0; i < 2; i++) {
      const { generation } = await verbose(2, { hold: { durationMs: 60_000n } });
      const asked = await worker.heard("spec", (each) => each.spec?.generation === generation);
      expect(settingOf(asked.spec, "logLevel")).toMatchObject({
        value: { value: { value: { level: Level.DEBUG } } },
        hold: { then: { value: { value: { level: Level.INFO } } }, remainingMs: 60_000n },
      });
      expect(settingOf(asked.spec, "logLevel")?.value?.value.value).not.toHaveProperty("verbosity");
      worker.report(asked);
    }
    await expect.poll(async () => (await level())?.hold?.endsAtUs).not.toBe(0n);
    room.letPass(66);
    await expect.poll(async () => (await level())?.hold).toBeUndefined();
    expect((await level())?.value?.value.value).toMatchObject({ level: Level.INFO });
  });

  test("goes on for what remains when a later command is taken back or refused", async () => {
    const worker = await room.connect();
    const { jobId } = await room.startRunning(worker);
    const setting = async () => settingOf((await room.get(jobId)).spec, "speed");
    const speed = (itemsPerSecond: number, more = {}) =>
      room.set(jobId, { case: "speed", value: { itemsPerSecond } }, more);
    const rest = { value: { case: "speed" as const, value: { itemsPerSecond: 1 } } };
    const { generation } = await speed(5, { hold: { durationMs: 60_000n, then: rest } });
    const held = await worker.heard("spec", (each) => each.spec?.generation === generation);
    worker.report(held);
    await expect.poll(async () => (await setting())?.hold?.endsAtUs).not.toBe(0n);
    const hold = (await setting())?.hold;
    const later = await speed(9);
    await room.domain.jobs.sendCommand({
      requestId: room.nextId(),
      jobId,
      command: { action: { case: "withdrawGeneration", value: later.generation } },
    });
    expect(await setting()).toMatchObject({ value: { value: { value: { itemsPerSecond: 5 } } } });
    expect((await setting())?.hold).toEqual(hold);
    const refused = await speed(7);
    const asked = await worker.heard("spec", (each) => each.spec?.generation === refused.generation);
    const value = { value: { case: "speed" as const, value: { itemsPerSecond: 7 } } };
    worker.report(asked, {
      levers: [{ generation: refused.generation, outcome: LeverOutcome.REJECTED, reason: "no", value }],
    });
    await expect.poll(async () => (await setting())?.generation).toBe(refused.generation + 1n);
    expect((await setting())?.hold).toEqual(hold);
    room.letPass(66);
    await expect.poll(async () => (await setting())?.value).toMatchObject(rest);
  });

  test("a deadline beyond a year is refused", async () => {
    const { jobId } = await room.startRunning(await room.connect());
    expect((await failure(room.set(jobId, pause, { deliverWithinMs: 2n ** 63n })))[0]).toBe(Code.InvalidArgument);
  });
});

test("a request id means one thing: the start's is not the retry's, and a retry with other parameters is another", async () => {
  const worker = await room.connect({
    types: [{ name: "count", levers: ["run"], parametersSchema: { type: "object" } }],
  });
  const { job } = await room.domain.jobs.startJob({ requestId: "one", type: "count", parameters: {} });
  const jobId = job?.id ?? "";
  const spec = await worker.heard("spec");
  worker.report(spec, { end: { outcome: EndOutcome.FAILED, endLine: 1n, atUs: 1n } });
  await room.state(jobId, JobState.FAILED);
  const retry = (requestId: string, parameters = {}) => room.domain.jobs.retryJob({ requestId, jobId, parameters });
  expect((await failure(retry("one")))[0]).toBe(Code.AlreadyExists);
  await retry("two", { a: 1 });
  await retry("two", { a: 1 });
  expect((await failure(retry("two", { a: 2 })))[0]).toBe(Code.AlreadyExists);
  room.domain = await room.domain.reopen();
  await retry("two", { a: 1 });
  expect((await failure(retry("two", { a: 2 })))[0]).toBe(Code.AlreadyExists);
});

test("in which order a client encodes the keys of a map is no part of what it asks for", async () => {
  const worker = await room.connect({
    types: [{ name: "count", levers: ["run", "parameters"], parametersSchema: { type: "object" } }],
  });
  const one = { a: 1, deep: { x: [1, { p: 1, q: 2 }], y: 2 } };
  const other = { deep: { y: 2, x: [1, { q: 2, p: 1 }] }, a: 1 };
  const start = (labels: Record<string, string>, parameters: JsonObject) =>
    room.domain.jobs.startJob({ requestId: "one", type: "count", labels, parameters });
  const { job } = await start({ team: "a", pool: "b" }, one);
  const jobId = job?.id ?? "";
  expect((await start({ pool: "b", team: "a" }, other)).job?.id).toBe(jobId);
  expect((await failure(start({ pool: "b", team: "a" }, { ...other, a: 2 })))[0]).toBe(Code.AlreadyExists);

  const spec = await worker.heard("spec");
  worker.report(spec);
  const set = (parameters: JsonObject) => {
    const value = { value: { case: "parameters", value: { parameters } } } as const;
    return room.domain.jobs.sendCommand({ jobId, requestId: "set", command: { action: { case: "set", value } } });
  };
  const { generation } = await set(one);
  expect((await set(other)).generation).toBe(generation);
  expect((await failure(set({ ...one, deep: { x: [{ p: 1, q: 2 }, 1], y: 2 } })))[0]).toBe(Code.AlreadyExists);
  room.domain = await room.domain.reopen();
  expect((await set(other)).generation).toBe(generation);
});

test("a job takes only so many commands that nobody has carried out, but always a cancel", async () => {
  const worker = await room.connect();
  const { jobId } = await room.startRunning(worker);
  const sent = await Promise.allSettled(
    Array.from({ length: 210 }, (_, i) => room.set(jobId, { case: "speed", value: { itemsPerSecond: i + 1 } })),
  );
  expect(sent.filter(({ status }) => status === "fulfilled")).toHaveLength(200);
  expect((await failure(room.set(jobId, pause)))[0]).toBe(Code.ResourceExhausted);
  expect(wantedRun((await room.set(jobId, cancel)).job?.spec)).toBe(RunMode.CANCEL);
});

import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  ConnectRequestSchema,
  EndOutcome,
  HelloSchema,
  JobState,
  Level,
  RunMode,
  WorkerLeaseSchema,
} from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { connectWorker } from "../rpc/worker-service.ts";
import { cancel, TestRoom } from "../testing/open-test-room.ts";
import type { TestWorkerOptions } from "../testing/test-worker.ts";

let room: TestRoom;
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(() => room[Symbol.asyncDispose]());

const sessions = () => [...room.domain.domain.workers.sessions];

test("of two processes that take a name at the same moment one has it, and both counted as takeovers", async () => {
  const first = await room.connect();
  const both = [room.dial(), room.dial()];
  await expect.poll(() => both.filter(({ isOpen }) => !isOpen).length).toBe(1);
  const left = both.find(({ isOpen }) => isOpen);
  expect(sessions().map(({ incarnation }) => incarnation)).toEqual([left?.incarnation]);
  expect((await left?.heard("welcome"))?.epoch).toBe((await first.heard("welcome")).epoch + 2n);
});

test("a process that reconnects while its old stream still seems open keeps its attempts, and the old stream ends", async () => {
  const before = await room.connect();
  const spec = await room.startRunning(before);
  const after = await room.connect({
    incarnation: before.incarnation,
    attempts: [{ jobId: spec.jobId, attempt: 1, started: true, receivedGeneration: 2n }],
  });
  await before.end();
  before.report(spec, { end: { outcome: EndOutcome.FAILED, endLine: 1n, atUs: 1n } });
  await after.heard("spec", ({ jobId }) => jobId === spec.jobId);
  expect(sessions()).toHaveLength(1);
  const { id } = await room.start();
  await after.heard("spec", ({ jobId }) => jobId === id);
  expect((await room.get(spec.jobId)).state).toBe(JobState.RUNNING);
});

test("two processes with one incarnation are one to the server: the newest link counts, and each number is stored once whoever sends it", async () => {
  const one = await room.connect();
  const spec = await room.startRunning(one);
  const { jobId } = spec;
  const first = one.push(jobId, 1);
  first.lines(["1 one", "2 one", "3 one"]);
  await first.acknowledged(4);
  const attempts = [{ jobId, attempt: 1, started: true, receivedGeneration: 2n }];
  const two = await room.connect({ incarnation: one.incarnation, attempts });
  await one.end();
  expect(ConnectError.from(one.ended)).toMatchObject({
    code: Code.Unavailable,
    rawMessage: "The same process connected again.",
  });
  const second = two.push(jobId, 1);
  second.lines(["1 two", "2 two", "3 two", "4 two", "5 two"], 1);
  first.lines(["4 one", "5 one", "6 one", "7 one"], 4);
  await Promise.all([first.acknowledged(8), second.acknowledged(8)]);
  let text = "";
  const bytes = await room.domain.domain.readLog(jobId, 1, new AbortController().signal, false);
  for await (const each of bytes ?? []) text += Buffer.from(each).toString();
  const lines = text.split("\n").slice(0, -1);
  expect(lines.map((line) => line[0]).join("")).toBe("1234567");
  expect(lines.slice(0, 3)).toEqual(["1 one", "2 one", "3 one"]);
  expect((await room.get(jobId)).attempts).toMatchObject([{ number: 1, lostAtUs: 0n }]);
});

test("the assignment of a next attempt carries the levers that are wanted, those of the time when nobody had the job too", async () => {
  const one = await room.connect({ types: [{ name: "count", levers: ["run", "speed", "log_level"] }] });
  const { jobId } = await room.startRunning(one);
  await room.set(jobId, { case: "speed", value: { itemsPerSecond: 7 } });
  await one.kill();
  room.letPass(16);
  await room.state(jobId, JobState.LOST);
  await room.set(jobId, { case: "logLevel", value: { level: Level.ERROR } }, { hold: { durationMs: 60_000n } });
  room.letPass(46);
  await room.domain.jobs.retryJob({ jobId, requestId: room.nextId() });
  await room.set(jobId, { case: "speed", value: { itemsPerSecond: 9 } });
  const two = await room.connect({ workerId: "w2", types: [{ name: "count", levers: ["run", "speed", "log_level"] }] });
  const { spec } = await two.heard("spec", ({ attempt }) => attempt === 2);
  const wanted = new Map(
    spec?.levers.map(({ value, hold }) => [value?.value.case, { value: value?.value.value, hold }]),
  );
  expect(wanted.get("run")?.value).toMatchObject({ mode: RunMode.RUN });
  expect(wanted.get("speed")?.value).toMatchObject({ itemsPerSecond: 9 });
  expect(wanted.get("logLevel")).toMatchObject({ value: { level: Level.ERROR }, hold: { remainingMs: 60_000n } });
});

test("a worker is told who has set a lever", async () => {
  const worker = await room.connect();
  const { jobId } = await room.startRunning(worker);
  await room.set(jobId, cancel);
  const { spec } = await worker.heard("spec", ({ spec }) => (spec?.generation ?? 0n) > 2n);
  const run = spec?.levers.find(({ value }) => value?.value.case === "run");
  expect(run).toMatchObject({ value: { value: cancel }, setBy: "operator" });
  expect((await room.get(jobId)).spec?.levers.map(({ setBy }) => setBy)).toEqual(["", ""]);
});

test("an incarnation belongs to one name", async () => {
  const worker = await room.connect();
  const other = room.dial({ workerId: "w2", incarnation: worker.incarnation });
  await other.end();
  expect(ConnectError.from(other.ended)).toMatchObject({
    code: Code.InvalidArgument,
    rawMessage: expect.stringContaining("connected as w1") as unknown,
  });
});

test("a late report on an attempt whose end is stored does not take the place of its acceptance", async () => {
  const worker = await room.connect();
  const spec = await room.startRunning(worker);
  worker.report(spec, { end: { outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: 1n } });
  worker.report(spec);
  worker.report(spec);
  await worker.heard("endAccepted");
  await room.startRunning(worker);
  expect(worker.received.filter(({ message }) => message.case === "fenced")).toEqual([]);
});

test.each<[string, NonNullable<TestWorkerOptions["types"]>[number], RegExp]>([
  ["a very long description", { description: "x".repeat(2000) }, /description of 2000 characters/],
  ["a schema over 64 KiB", { parametersSchema: { title: "x".repeat(70_000) } }, /parameters_schema of/],
  ["a default speed of NaN", { defaultItemsPerSecond: NaN }, /default speed of NaN/],
])("a hello whose type has %s is refused", async (_, type, reason) => {
  const worker = room.dial({ types: [{ name: "count", ...type }] });
  await worker.end();
  expect(ConnectError.from(worker.ended)).toMatchObject({
    code: Code.InvalidArgument,
    rawMessage: expect.stringMatching(reason) as unknown,
  });
});

test("of names that come and go the server keeps the newest thousand", async () => {
  const table = room.domain.store.table("workers");
  await Promise.all(
    Array.from({ length: 1_000 }, (_, i) =>
      table.put(
        `old-${i}`,
        toBinary(WorkerLeaseSchema, create(WorkerLeaseSchema, { incarnation: "x", connectedAtUs: BigInt(i + 1) })),
      ),
    ),
  );
  room.domain = await room.domain.reopen();
  await room.connect();
  const names = async () => (await room.domain.store.table("workers").list()).records.map(({ key }) => key);
  await expect.poll(async () => (await names()).length).toBe(1_000);
  expect(await names()).not.toContain("old-0");
  expect(await names()).toContain("w1");
});

test("a worker that went away while a message to it waits to be sent is not connected any more", async () => {
  const { workers, inputs } = room.domain.domain;
  const stop = new AbortController();
  const hello = create(HelloSchema, { workerId: "w", incarnation: "i".repeat(16), slots: 1 });
  async function* requests() {
    yield create(ConnectRequestSchema, { message: { case: "hello", value: hello } });
    await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
  }
  const parts = { workers, inputs, storeId: "store", clock: systemClock };
  await connectWorker(parts, requests(), stop.signal).next();
  expect(sessions()).toHaveLength(1);
  // Nobody asks for the next message, and nobody says `return`.
  stop.abort();
  expect(sessions()).toHaveLength(0);
});

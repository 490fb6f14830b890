import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { CommandSchema, EndOutcome, JobState, LeavingSchema, RunMode, WorkerLeaseSchema } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { failure, pause, TestRoom } from "../testing/open-test-room.ts";

let room: TestRoom;
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(() => room[Symbol.asyncDispose]());

const types = [{ name: "command", levers: ["run"], pinned: true }];
const run = { workerId: "run-1", types, transient: true };
const gone = "only worker run-1 may run it, which is gone: start it there again";
const names = async () => (await room.domain.jobs.listWorkers({})).workers.map(({ workerId }) => workerId);
const retry = (jobId: string) => room.domain.jobs.retryJob({ requestId: room.nextId(), jobId });

describe("a transient worker's name is forgotten", () => {
  test("when it has left", async () => {
    const worker = await room.connect(run);
    expect(await names()).toEqual(["run-1"]);
    await worker.leave();
    await expect.poll(names).toEqual([]);
    await expect.poll(async () => (await room.domain.store.table("workers").list()).records).toEqual([]);
  });

  test("when it is cut off and its lease has run out, not before", async () => {
    const worker = await room.connect(run);
    await worker.kill();
    room.letPass(14);
    expect(await names()).toEqual(["run-1"]);
    room.letPass(2);
    await expect.poll(names).toEqual([]);
  });

  test("not while it has an attempt, but when the lost attempt is given up", async () => {
    const worker = await room.connect(run);
    const { jobId } = await room.startRunning(worker, "command", "run-1");
    await worker.kill();
    room.letPass(16);
    await room.state(jobId, JobState.LOST);
    expect(await names()).toEqual(["run-1"]);
    room.letPass(46);
    expect((await failure(retry(jobId)))[0]).toBe(Code.FailedPrecondition);
    const command = create(CommandSchema, { action: { case: "giveUp", value: {} } });
    await room.domain.jobs.sendCommand({ requestId: room.nextId(), jobId, command });
    await room.state(jobId, JobState.FAILED);
    await expect.poll(names).toEqual([]);
  });

  test("after a start of the server: at once if it had left, else when its lease has run out", async () => {
    const table = room.domain.store.table("workers");
    for (const [workerId, leftAtUs] of [
      ["cut-off", 0n],
      ["left", 1n],
    ] as const) {
      const lease = create(WorkerLeaseSchema, { incarnation: workerId, leftAtUs, hello: { transient: true } });
      await table.put(workerId, toBinary(WorkerLeaseSchema, lease));
    }
    room.domain = await room.domain.reopen();
    expect(await names()).toEqual(["cut-off"]);
    room.letPass(16);
    await expect.poll(names).toEqual([]);
  });

  test("but one that is not transient is remembered", async () => {
    const worker = await room.connect({ workerId: "w1" });
    await worker.leave();
    room.letPass(20);
    expect(await names()).toEqual(["w1"]);
  });
});

describe("a job that waits for a transient worker", () => {
  test("runs there and nowhere else, and says what it waits for", async () => {
    const other = await room.connect({ workerId: "other", types, slots: 5 });
    const worker = await room.connect({ ...run, slots: 1 });
    const { jobId } = await room.startRunning(worker, "command", "run-1");
    const second = await room.start({}, "command", "run-1");
    await expect.poll(() => room.waitsFor(second.id)).toBe("no free slot on worker run-1 (1 of 1 busy) · 1st in line");
    await room.domain.jobs.drainWorker({ workerId: "run-1" });
    await expect.poll(() => room.waitsFor(second.id)).toBe("worker run-1 is drained");
    await worker.kill();
    await expect.poll(() => room.waitsFor(second.id)).toBe("worker run-1 is not connected");
    expect((await room.get(jobId)).workerId).toBe("run-1");
    expect(other.received.filter(({ message }) => message.case === "spec")).toEqual([]);
  });

  test("fails when the name is forgotten, with the reason and the fix", async () => {
    const worker = await room.connect({ ...run, slots: 1 });
    const first = await room.startRunning(worker, "command", "run-1");
    const second = await room.start({}, "command", "run-1");
    const held = await room.start({}, "command", "run-1");
    await room.set(held.id, pause);
    worker.say({ case: "leaving", value: create(LeavingSchema) });
    worker.report(first, { end: { outcome: EndOutcome.RELEASED, endLine: 1n, atUs: 1n, reason: "stopped" } });
    await worker.heard("endAccepted");
    expect((await room.get(first.jobId)).state).toBe(JobState.QUEUED);
    await worker.leave();
    for (const id of [first.jobId, second.id, held.id])
      expect(await room.state(id, JobState.FAILED)).toMatchObject({ reason: gone });
    expect(await failure(retry(first.jobId))).toEqual([
      Code.FailedPrecondition,
      `The job cannot be retried, since ${gone}.`,
    ]);
  });

  test("fails too when the name was forgotten before the server could end it", async () => {
    const worker = await room.connect(run);
    await worker.kill();
    const { id } = await room.start({}, "command", "run-1");
    const table = room.domain.store.table("workers");
    await table.delete("run-1");
    room.domain = await room.domain.reopen();
    expect(await room.state(id, JobState.FAILED)).toMatchObject({ reason: gone });
  });
});

describe("a job that names its worker", () => {
  test("is retried only while that is connected, if its type is pinned: its program has gone with the worker", async () => {
    const worker = await room.connect({ workerId: "w1", types });
    const spec = await room.startRunning(worker, "command", "w1");
    worker.report(spec, { end: { outcome: EndOutcome.FAILED, endLine: 1n, atUs: 1n } });
    await room.state(spec.jobId, JobState.FAILED);
    await worker.kill();
    await expect.poll(async () => (await failure(retry(spec.jobId)))[0]).toBe(Code.FailedPrecondition);
    const back = await room.connect({ workerId: "w1", types });
    await retry(spec.jobId);
    await back.heard("spec", ({ jobId, attempt }) => jobId === spec.jobId && attempt === 2);
  });

  test("is retried while that is away, after a loss too, and waits for it", async () => {
    const worker = await room.connect({ workerId: "w1" });
    const { jobId } = await room.startRunning(worker, "count", "w1");
    await worker.kill();
    room.letPass(16);
    await room.state(jobId, JobState.LOST);
    room.letPass(46);
    await retry(jobId);
    expect((await room.get(jobId)).state).toBe(JobState.QUEUED);
    await expect.poll(() => room.waitsFor(jobId)).toBe("worker w1 is not connected");
    const back = await room.connect({ workerId: "w1" });
    await back.heard("spec", (spec) => spec.jobId === jobId && spec.attempt === 2);
  });

  test("waits for it though it is away, if its name stays known", async () => {
    const worker = await room.connect({ workerId: "w1" });
    await worker.kill();
    const { id } = await room.start({}, "count", "w1");
    await room.connect({ workerId: "w2" });
    await expect.poll(() => room.waitsFor(id)).toBe("worker w1 is not connected");
    const back = await room.connect({ workerId: "w1" });
    await back.heard("spec", ({ jobId }) => jobId === id);
  });

  test.each([
    ["is of a pinned type and names none", "command", "", Code.InvalidArgument, /Name it in worker_id/],
    ["names what is no name", "count", "a b", Code.InvalidArgument, /no worker's name/],
    ["names one that nobody knows", "count", "w9", Code.FailedPrecondition, /No worker w9 is known/],
  ])("is refused if it %s", async (_, type, workerId, code, words) => {
    await room.connect({ types: [{ name: "count" }, ...types] });
    const [got, message] = await failure(room.start({}, type, workerId));
    expect([got, message]).toEqual([code, expect.stringMatching(words)]);
  });

  test("goes nowhere else when it is given up or withdrawn", async () => {
    const worker = await room.connect({ workerId: "w1", types: [{ name: "odd" }] });
    await room.connect({ workerId: "w2" });
    const { id } = await room.start({}, "count", "w1");
    await expect.poll(() => room.waitsFor(id)).toBe("worker w1 does not offer type count");
    await room.domain.jobs.sendCommand({
      requestId: room.nextId(),
      jobId: id,
      command: create(CommandSchema, {
        action: { case: "set", value: { value: { case: "run", value: { mode: RunMode.CANCEL } } } },
      }),
    });
    await room.state(id, JobState.CANCELED);
    expect(worker.isOpen).toBe(true);
  });
});

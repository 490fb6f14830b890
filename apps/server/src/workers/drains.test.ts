import { Code } from "@connectrpc/connect";
import { ActorKind, EndOutcome, JobState } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { failure, TestRoom } from "../testing/open-test-room.ts";

let room: TestRoom;
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(() => room[Symbol.asyncDispose]());

const drain = (workerId: string, more: { stop?: boolean; reason?: string } = {}) =>
  room.domain.jobs.drainWorker({ workerId, ...more });
const undrain = (workerId: string) => room.domain.jobs.undrainWorker({ workerId });
const record = async (workerId: string) =>
  (await room.domain.jobs.listWorkers({})).workers.find((worker) => worker.workerId === workerId);
const end = { outcome: EndOutcome.SUCCEEDED, endLine: 1n, atUs: 1n };

describe("a drained worker", () => {
  test("keeps what it runs and gets nothing more until it is undrained, and a job that waits for it says so", async () => {
    const worker = await room.connect({ workerId: "gpu-1", slots: 2 });
    const running = await room.startRunning(worker);
    const { worker: drained } = await drain("gpu-1", { reason: "new driver" });
    expect(drained?.drain).toMatchObject({ reason: "new driver", actor: { kind: ActorKind.OPERATOR } });
    const { id } = await room.start();
    await expect.poll(() => room.waitsFor(id)).toBe("worker gpu-1 is drained");
    expect((await room.get(running.jobId)).state).toBe(JobState.RUNNING);
    expect(worker.isOpen).toBe(true);
    expect(await worker.heard("drain")).toMatchObject({ stop: false, reason: "new driver" });
    await undrain("gpu-1");
    await worker.heard("spec", ({ jobId }) => jobId === id);
    expect((await record("gpu-1"))?.drain).toBeUndefined();
  });

  test("stays drained when it reconnects, when another process takes its name, and when the server restarts", async () => {
    const first = await room.connect({ workerId: "gpu-1" });
    await drain("gpu-1");
    await room.connect({ workerId: "gpu-1", incarnation: first.incarnation });
    const { id } = await room.start();
    await expect.poll(() => room.waitsFor(id)).toBe("worker gpu-1 is drained");
    await room.connect({ workerId: "gpu-1" });
    await expect.poll(() => room.waitsFor(id)).toBe("worker gpu-1 is drained");
    room.domain = await room.domain.reopen();
    const last = await room.connect({ workerId: "gpu-1" });
    expect(await last.heard("drain")).toMatchObject({ stop: false });
    await expect.poll(() => room.waitsFor(id)).toBe("worker gpu-1 is drained");
    expect((await room.get(id)).attempts).toEqual([]);
    await undrain("gpu-1");
    await last.heard("spec", ({ jobId }) => jobId === id);
  });

  test("can be drained while it is away", async () => {
    const before = await room.connect({ workerId: "gpu-1" });
    await before.kill();
    await drain("gpu-1");
    await room.connect({ workerId: "gpu-1" });
    const { id } = await room.start();
    await expect.poll(() => room.waitsFor(id)).toBe("worker gpu-1 is drained");
  });

  test("leaves the work to another one, and its type is still offered, without its slots", async () => {
    await room.connect({ workerId: "gpu-1", slots: 4 });
    await drain("gpu-1");
    const offered = async () => (await room.domain.jobs.listJobTypes({})).types[0];
    expect(await offered()).toMatchObject({ workers: 0, slots: 0, type: { name: "count" } });
    const other = await room.connect({ workerId: "gpu-2", slots: 1 });
    const { jobId } = await room.startRunning(other);
    expect(await offered()).toMatchObject({ workers: 1, slots: 1, slotsUsed: 1 });
    const { id } = await room.start();
    await expect
      .poll(() => room.waitsFor(id))
      .toBe("no free slot for type count (1 of 1 busy) · worker gpu-1 is drained · 1st in line");
    expect((await room.get(jobId)).attempts[0]?.workerId).toBe("gpu-2");
  });

  test("is drained once, however often that is asked: who asked first stands, and a new reason counts", async () => {
    await room.connect({ workerId: "gpu-1" });
    const { worker: first } = await drain("gpu-1", { reason: "a" });
    expect((await drain("gpu-1", { reason: "a" })).worker?.drain).toEqual(first?.drain);
    expect((await drain("gpu-1", { reason: "b" })).worker?.drain?.reason).toBe("b");
    await undrain("gpu-1");
    expect((await undrain("gpu-1")).worker?.drain).toBeUndefined();
  });
});

describe("a worker that is asked to stop", () => {
  test("hears it, again when it reconnects, and gets no more work; a new process of the name does", async () => {
    const worker = await room.connect({ workerId: "gpu-1" });
    const { worker: stopped } = await drain("gpu-1", { stop: true, reason: "bye" });
    expect(stopped?.drain).toBeUndefined();
    expect(await worker.heard("drain")).toMatchObject({ stop: true, reason: "bye" });
    const { id } = await room.start();
    await expect.poll(() => room.waitsFor(id)).toBe("worker gpu-1 is leaving");
    const again = await room.connect({ workerId: "gpu-1", incarnation: worker.incarnation });
    expect(await again.heard("drain")).toMatchObject({ stop: true, reason: "bye" });
    expect((await room.get(id)).attempts).toEqual([]);
    const next = await room.connect({ workerId: "gpu-1" });
    await next.heard("spec", ({ jobId }) => jobId === id);
    expect(next.received.filter(({ message }) => message.case === "drain")).toEqual([]);
  });

  test("is refused if it is not connected", async () => {
    const worker = await room.connect({ workerId: "gpu-1" });
    await worker.kill();
    await expect
      .poll(() => failure(drain("gpu-1", { stop: true })))
      .toEqual([Code.FailedPrecondition, "Worker gpu-1 is not connected, so it cannot be asked to stop."]);
  });
});

test("what nobody knows cannot be drained or undrained, and a reason has its bound", async () => {
  for (const stop of [false, true])
    expect(await failure(drain("nobody", { stop }))).toEqual([Code.NotFound, "There is no worker nobody."]);
  expect((await failure(undrain("nobody")))[0]).toBe(Code.NotFound);
  await room.connect();
  for (const stop of [false, true])
    expect((await failure(drain("w1", { stop, reason: "x".repeat(501) })))[0]).toBe(Code.InvalidArgument);
  expect((await drain("w1", { reason: "x".repeat(500) })).worker?.drain?.reason).toHaveLength(500);
});

test("a worker that said that it leaves has left when its stream ends, and is back when it returns", async () => {
  const worker = await room.connect({ workerId: "gpu-1", labels: { pool: "gpu" } });
  const spec = await room.startRunning(worker);
  worker.report(spec, { end });
  await worker.heard("endAccepted");
  expect(await record("gpu-1")).toMatchObject({ leftAtUs: 0n, labels: { pool: "gpu" }, jobTypes: ["count"], slots: 2 });
  await worker.leave();
  await expect.poll(async () => (await record("gpu-1"))?.leftAtUs).not.toBe(0n);
  room.domain = await room.domain.reopen();
  expect((await record("gpu-1"))?.leftAtUs).not.toBe(0n);
  await room.connect({ workerId: "gpu-1" });
  expect((await record("gpu-1"))?.leftAtUs).toBe(0n);
});

import { create } from "@bufbuild/protobuf";
import { EndOutcome, RetryPolicySchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { candidate, operator, TestQueue } from "../testing/open-queue.ts";
import { TestRoom } from "../testing/open-test-room.ts";
import type { Candidate } from "./dispatch.ts";

test("a job that its only worker declined is offered again after a rest, though nothing else happens", async () => {
  await using room = await TestRoom.open();
  const one = await room.connect({ slots: 1 });
  const { id } = await room.start();
  one.report(await one.heard("spec"), { started: false, end: { outcome: EndOutcome.DECLINED, endLine: 1n, atUs: 1n } });
  expect(await one.heard("spec", ({ attempt }) => attempt === 2)).toMatchObject({ jobId: id });
});

test("a job that its worker gives back again and again is offered after a rest; given back once, at once", async () => {
  await using room = await TestRoom.open();
  const one = await room.connect({ slots: 1 });
  const { id } = await room.start();
  const release = async (attempt: number) => {
    const spec = await one.heard("spec", (each) => each.attempt === attempt);
    one.report(spec, { started: true, end: { outcome: EndOutcome.RELEASED, endLine: 1n, atUs: 1n } });
  };
  await release(1);
  await release(2);
  await expect.poll(() => room.domain.domain.jobs.vitals.get(id)?.waitsFor).toBe("given back by w1, asks again");
  expect(room.domain.domain.jobs.get(id).record.attempts).toHaveLength(2);
  expect(await one.heard("spec", ({ attempt }) => attempt === 3)).toMatchObject({ jobId: id });
});

test("ten thousand waiting jobs are looked at without holding anybody up", { timeout: 120_000 }, async () => {
  const zones = Array.from({ length: 50 }, (_, i) =>
    candidate({ workerId: `z${i}`, incarnation: `zone-${i}`, slots: 0, labels: { zone: String(i % 3) } }),
  );
  await using queue = await TestQueue.open(() => [...zones, candidate()]);
  await queue.setLimit({ labelKey: "team", mostRunning: 3 });
  const all = await queue.startMany(5_000);
  await expect.poll(() => queue.running().length, { timeout: 20_000 }).toBe(1);
  for (const zone of ["0", "1"])
    await queue.startMany(2_500, { workerSelector: { zone }, labels: { team: `team ${zone}` } });
  const turns: number[] = [];
  for (const { id } of all.slice(500, 510)) {
    // A new order is the most to do.
    await queue.set(id, { case: "priority", value: { priority: 1 } });
    // Long enough for a look, and for the rest after the one before.
    for (const end = performance.now() + 250; performance.now() < end;) {
      const before = process.threadCpuUsage();
      await new Promise((resolve) => setImmediate(resolve));
      // What it took of the processor: a busy machine takes its own time.
      const { user, system } = process.threadCpuUsage(before);
      turns.push((user + system) / 1000);
    }
  }
  // Some may be the collector's.
  expect(turns.sort((a, b) => b - a)[4]).toBeLessThan(20);
  const vitals = () => all.flatMap(({ id }) => queue.jobs.vitals.get(id) ?? []);
  const far = () => vitals().filter(({ waitsFor }) => waitsFor.endsWith("more than 100 in line")).length;
  await expect.poll(far, { timeout: 20_000 }).toBe(5_000 - 101);
  const seventh = ({ placeInLine, waitsFor }: { placeInLine: number; waitsFor: string }) =>
    placeInLine === 7 && waitsFor.endsWith(" 7th in line");
  expect(vitals().filter(seventh)).toHaveLength(1);
  expect(vitals().filter(({ placeInLine }) => placeInLine > 0)).toHaveLength(100);
});

test("in a long queue each slot that gets free goes to the next in line, and those behind hear of it", async () => {
  // What is stored first need not be what was asked for first: the worker comes when all are there.
  const workers: Candidate[] = [];
  await using queue = await TestQueue.open(() => workers);
  const line = (await queue.startMany(3_000)).sort(
    (a, b) => Number(a.queuedAtUs - b.queuedAtUs) || (a.id < b.id ? -1 : 1),
  );
  workers.push(candidate({ slots: 2 }));
  queue.dispatch.wake();
  const long = { timeout: 20_000 };
  const runs = (ids: readonly (string | undefined)[]) =>
    expect.poll(() => new Set(queue.running().map(({ id }) => id)), long).toEqual(new Set(ids));
  await runs(line.slice(0, 2).map(({ id }) => id));
  for (let ended = 0; ended < 20; ended++) {
    await queue.end(line[ended]?.id ?? "");
    await runs(line.slice(ended + 1, ended + 3).map(({ id }) => id));
  }
  const place = (index: number) => queue.jobs.vitals.get(line[index]?.id ?? "")?.placeInLine;
  await expect.poll(() => place(22), long).toBe(1);
  await expect.poll(() => place(121), long).toBe(100);
  expect(place(20)).toBe(0);
});

test("a place in line counts jobs of the same type only", async () => {
  await using queue = await TestQueue.open(() => [candidate({ slots: 0, jobTypes: new Set(["count", "other"]) })]);
  await queue.startMany(3);
  await queue.startMany(1, { type: "other" });
  await expect
    .poll(() => [...queue.jobs.all()].map((job) => queue.waitsFor(job.id)?.slice(-11)).sort())
    .toEqual(["1st in line", "1st in line", "2nd in line", "3rd in line"]);
});

test("a job that waits names a few of the workers that it waits for, not all", async () => {
  const resting = (count: number, more: Partial<Candidate>) =>
    Array.from({ length: count }, (_, i) => candidate({ workerId: `w${i}`, takesWork: false, ...more }));
  let workers = [...resting(1_000, { drained: true }), ...resting(2, { workerId: "x" })];
  await using queue = await TestQueue.open(() => workers);
  const { id } = await queue.start();
  await expect
    .poll(() => queue.waitsFor(id))
    .toBe("workers w0, w1, w2 and 997 more are drained, workers x, x are leaving");
  workers = [];
  queue.dispatch.wake();
  await expect.poll(() => queue.waitsFor(id)).toBe("no worker offers type count");
});

test("nothing is assigned to a worker that leaves while the queue is looked at", async () => {
  let asked = 0;
  const leaving = candidate({ slots: 2 });
  Object.defineProperty(leaving, "takesWork", { get: () => asked++ < 2 });
  await using queue = await TestQueue.open(() => [leaving]);
  await queue.startMany(2);
  await expect.poll(() => asked).toBeGreaterThan(2);
  await queue.dispatch.stop();
  expect(queue.running()).toEqual([]);
});

test("the next free slot goes to the job with the highest priority, and a new priority counts at once", async () => {
  let slots = 1;
  await using queue = await TestQueue.open(() => [candidate({ slots })]);
  const first = await queue.start();
  const second = await queue.start();
  const third = await queue.start();
  await expect.poll(() => queue.waitsFor(third.id)).toMatch(/ 2nd in line$/);
  expect(queue.running().map(({ id }) => id)).toEqual([first.id]);
  await queue.set(third.id, { case: "priority", value: { priority: 5 } });
  await expect.poll(() => queue.waitsFor(third.id)).toMatch(/ 1st in line$/);
  await expect.poll(() => queue.waitsFor(second.id)).toMatch(/ 2nd in line$/);
  slots = 2;
  queue.dispatch.wake();
  await expect.poll(() => queue.running().map(({ id }) => id)).toEqual([first.id, third.id]);
  expect(queue.jobs.vitals.get(third.id)).toMatchObject({ waitsFor: "", placeInLine: 0 });
});

test("a job goes to a worker that has its labels, and says which are missing where none has them", async () => {
  const plain = candidate({ workerId: "plain", incarnation: "plain", slots: 9 });
  const gpu = candidate({ workerId: "gpu", incarnation: "gpu", labels: { gpu: "a100", zone: "b" } });
  let workers = [plain];
  await using queue = await TestQueue.open(() => workers);
  const workerSelector = { gpu: "a100" };
  const { id } = await queue.start({ workerSelector });
  await expect.poll(() => queue.waitsFor(id)).toBe("no worker has the label gpu=a100 (1 worker offers the type)");
  const named = await queue.start({ workerSelector: { gpu: "a100", zone: "c" }, workerId: "plain" });
  await expect.poll(() => queue.waitsFor(named.id)).toBe("worker plain does not have the labels gpu=a100, zone=c");
  workers = [plain, gpu];
  queue.dispatch.wake();
  await expect.poll(() => queue.running().map(({ attempts }) => attempts.at(-1)?.workerId)).toEqual(["gpu"]);
  const next = await queue.start({ workerSelector });
  await expect
    .poll(() => queue.waitsFor(next.id))
    .toBe("no free slot for type count with label gpu=a100 (1 of 1 busy) · 1st in line");
  await expect(queue.start({ workerSelector: { "": "x" } })).rejects.toThrow(/a key has 1 to 100 characters/);
});

test("a job that waits for its next attempt says how long, holds up nobody, and is out of the line", async () => {
  let slots = 0;
  await using queue = await TestQueue.open(() => [candidate({ slots })]);
  const resting = await queue.start();
  const retryAtUs = BigInt(systemClock() + 60_000_000);
  await queue.jobs.get(resting.id).update((before) => {
    const record = { ...before, retryAtUs, tries: 2, retry: create(RetryPolicySchema, { mostAttempts: 5 }) };
    return { actor: operator, cause: { case: undefined }, record };
  });
  const { id } = await queue.start();
  await expect.poll(() => queue.waitsFor(id)).toMatch(/1st in line/);
  queue.dispatch.sayRetries(Number(retryAtUs) - 11_400_000);
  expect(queue.jobs.vitals.get(resting.id)).toMatchObject({
    waitsFor: "retries in 12 s, attempt 3 of 5",
    placeInLine: 0,
  });
  slots = 2;
  queue.dispatch.wake();
  await expect.poll(() => queue.running().map((each) => each.id)).toEqual([id]);
});

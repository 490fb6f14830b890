import { randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { ActorKind, ActorSchema, EndOutcome, JobTypeSchema, StartJobRequestSchema } from "@signalbox/protocol";
import { pino } from "pino";
import { expect, test } from "vitest";
import { openTempStore } from "../store/testing.ts";
import { TestRoom } from "../testing/open-test-room.ts";
import { Dispatch, type Candidate } from "./dispatch.ts";
import { Jobs } from "./jobs.ts";
import { openAttempt } from "./job-record.ts";

const actor = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator" });
const logger = pino({ level: "silent" });

async function startMany(jobs: Jobs, count: number, type = "count"): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, () =>
      jobs.start(
        create(StartJobRequestSchema, { requestId: randomBytes(8).toString("hex"), type }),
        create(JobTypeSchema, { name: type }),
        actor,
      ),
    ),
  );
}

const worker = (more: Partial<Candidate> = {}): Candidate => ({
  workerId: "w",
  incarnation: "i".repeat(16),
  slots: 1,
  jobTypes: new Set(["count"]),
  metadata: {},
  clockOffsetUs: 0,
  takesWork: true,
  drained: false,
  ...more,
});

test("a job that its only worker declined is offered again after a rest, though nothing else happens", async () => {
  await using room = await TestRoom.open();
  const one = await room.connect({ slots: 1 });
  const { id } = await room.start();
  one.report(await one.heard("spec"), { started: false, end: { outcome: EndOutcome.DECLINED, endLine: 1n, atUs: 1n } });
  expect(await one.heard("spec", ({ attempt }) => attempt === 2)).toMatchObject({ jobId: id });
});

test("with thousands of waiting jobs a look holds up nobody else", async () => {
  await using temp = await openTempStore();
  const jobs = await Jobs.open(temp.store, logger);
  await startMany(jobs, 5_000);
  const dispatch = new Dispatch(jobs, () => [worker()], logger);
  dispatch.wake();
  await expect.poll(() => [...jobs.live()].filter((job) => openAttempt(job.record)).length).toBe(1);
  let longestMs = 0;
  for (let i = 0; i < 20; i++) {
    dispatch.wake();
    // The longest time for which the event loop did not come round while it looked.
    for (let turn = 0; turn < 20; turn++) {
      const before = performance.now();
      await new Promise((resolve) => setImmediate(resolve));
      longestMs = Math.max(longestMs, performance.now() - before);
    }
  }
  await dispatch.stop();
  expect(longestMs).toBeLessThan(200);
  const places = [...jobs.all()].map((job) => jobs.vitals.get(job.id)?.waitsFor ?? "");
  expect(places.filter((place) => place.endsWith("more than 100 in line"))).toHaveLength(5_000 - 101);
  expect(places.filter((place) => place.endsWith(" 7th in line"))).toHaveLength(1);
});

test("a place in line counts jobs of the same type only", async () => {
  await using temp = await openTempStore();
  const jobs = await Jobs.open(temp.store, logger);
  await startMany(jobs, 3);
  await startMany(jobs, 1, "other");
  const dispatch = new Dispatch(jobs, () => [worker({ slots: 0, jobTypes: new Set(["count", "other"]) })], logger);
  dispatch.wake();
  await expect
    .poll(() => [...jobs.all()].map((job) => jobs.vitals.get(job.id)?.waitsFor.slice(-11)).sort())
    .toEqual(["1st in line", "1st in line", "2nd in line", "3rd in line"]);
  await dispatch.stop();
});

test("a job that waits names a few of the workers that it waits for, not all", async () => {
  await using temp = await openTempStore();
  const jobs = await Jobs.open(temp.store, logger);
  await startMany(jobs, 1);
  const resting = (count: number, more: Partial<Candidate>) =>
    Array.from({ length: count }, (_, i) => worker({ workerId: `w${i}`, takesWork: false, ...more }));
  let workers = [...resting(1_000, { drained: true }), ...resting(2, { workerId: "x" })];
  const dispatch = new Dispatch(jobs, () => workers, logger);
  const waitsFor = () => [...jobs.all()].map((job) => jobs.vitals.get(job.id)?.waitsFor)[0];
  dispatch.wake();
  await expect.poll(waitsFor).toBe("workers w0, w1, w2 and 997 more are drained, workers x, x are leaving");
  workers = [];
  dispatch.wake();
  await expect.poll(waitsFor).toBe("no worker offers type count");
  await dispatch.stop();
});

test("nothing is assigned to a worker that leaves while the queue is looked at", async () => {
  await using temp = await openTempStore();
  const jobs = await Jobs.open(temp.store, logger);
  await startMany(jobs, 2);
  let asked = 0;
  const leaving = worker({ slots: 2 });
  Object.defineProperty(leaving, "takesWork", { get: () => asked++ < 2 });
  const dispatch = new Dispatch(jobs, () => [leaving], logger);
  dispatch.wake();
  await expect.poll(() => asked).toBeGreaterThan(2);
  await dispatch.stop();
  expect([...jobs.live()].filter((job) => openAttempt(job.record))).toEqual([]);
});

import { Code } from "@connectrpc/connect";
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import {
  EndOutcome,
  JobEntrySchema,
  JobState,
  ReceiptState,
  RunMode,
  TimerKind,
  type JobEntry,
  type JobRecord,
  type StartJobRequestSchema,
} from "@signalbox/protocol";
import { expect, test } from "vitest";
import { failure, goOn, pause, TestRoom } from "../testing/open-test-room.ts";
import type { TestWorker } from "../testing/test-worker.ts";
import { serverActor } from "./dispatch.ts";

type Start = MessageInitShape<typeof StartJobRequestSchema>;

async function start(room: TestRoom, more: Start): Promise<JobRecord> {
  const { job } = await room.domain.jobs.startJob({ requestId: room.nextId(), type: "count", ...more });
  if (!job) throw new Error("no job");
  return job;
}

/** The worker takes up the attempt, and says that it has begun. */
async function begin(room: TestRoom, worker: TestWorker, jobId: string, attempt: number) {
  const spec = await worker.heard("spec", (each) => each.jobId === jobId && each.attempt === attempt);
  worker.report(spec);
  await expect.poll(async () => (await room.get(jobId)).attempts.at(-1)?.startedAtUs).not.toBe(0n);
  return spec;
}

async function history(room: TestRoom, jobId: string): Promise<JobEntry[]> {
  const entries = await room.domain.store.journal.read(`job/${jobId}`, 0);
  return entries.map(({ data }) => fromBinary(JobEntrySchema, data));
}

const timers = (entries: readonly JobEntry[]) =>
  entries.flatMap(({ cause }) => (cause.case === "timer" ? [cause.value.kind] : []));

test("a job that fails is tried again after its back-off from where it was, and its history can be read again after a restart", async () => {
  await using room = await TestRoom.open();
  const one = await room.connect();
  const { id } = await start(room, { retry: { mostAttempts: 2, backOffMs: 30_000n } });
  const first = await begin(room, one, id, 1);
  one.report(first, {
    checkpoint: Buffer.from("here"),
    end: { outcome: EndOutcome.FAILED, reason: "bad luck", endLine: 1n, atUs: 1n },
  });
  const waiting = await room.state(id, JobState.QUEUED);
  expect(waiting).toMatchObject({ reason: "attempt 1 failed: bad luck", tries: 1 });
  await expect.poll(() => room.waitsFor(id)).toMatch(/^retries in \d+ s, attempt 2 of 2$/);
  await one.kill();
  room.domain = await room.domain.reopen();
  expect((await room.get(id)).retryAtUs).toBe(waiting.retryAtUs);
  await expect.poll(() => room.waitsFor(id)).toMatch(/^retries in \d+ s, attempt 2 of 2$/);
  room.letPass(31);
  const two = await room.connect({ workerId: "w2" });
  const second = await two.heard("spec", ({ attempt }) => attempt === 2);
  expect(Buffer.from(second.checkpoint).toString()).toBe("here");
  two.report(second, { end: { outcome: EndOutcome.FAILED, reason: "again", endLine: 1n, atUs: 1n } });
  expect(await room.state(id, JobState.FAILED)).toMatchObject({ reason: "again", tries: 2 });
  expect(timers(await history(room, id))).toEqual([TimerKind.RETRY]);
});

test("a retry by a person with other parameters begins anew, and the attempt says that its parameters are others", async () => {
  await using room = await TestRoom.open();
  const types = [{ name: "count", parametersSchema: { type: "object", properties: { limit: { type: "integer" } } } }];
  const one = await room.connect({ types });
  const { id } = await start(room, { retry: { mostAttempts: 2, backOffMs: 3_600_000n }, parameters: { limit: 1 } });
  one.report(await begin(room, one, id, 1), { end: { outcome: EndOutcome.FAILED, endLine: 1n, atUs: 1n } });
  await room.state(id, JobState.QUEUED);
  await room.domain.jobs.retryJob({ requestId: room.nextId(), jobId: id, parameters: { limit: 2 } });
  await begin(room, one, id, 2);
  expect(await room.get(id)).toMatchObject({
    tries: 0,
    retryAtUs: 0n,
    attempts: [{ parametersChanged: false }, { parametersChanged: true }],
  });
});

test("an attempt that takes too long is canceled by the server, paused time left out, and the job fails with that reason", async () => {
  await using room = await TestRoom.open();
  const one = await room.connect();
  const { id } = await start(room, { deadline: { afterMs: 20_000n, graceMs: 2_000 } });
  await begin(room, one, id, 1);
  const apply = async (generation: bigint) => {
    const spec = await one.heard("spec", (each) => each.spec?.generation === generation);
    one.report(spec);
    await expect.poll(async () => (await room.get(id)).attempts[0]?.receivedGeneration).toBe(generation);
  };
  room.letPass(9);
  await room.set(id, pause);
  await apply(3n);
  await room.state(id, JobState.PAUSED);
  for (let i = 0; i < 3; i++) {
    room.letPass(9);
    await room.set(id, { case: "speed", value: { itemsPerSecond: i + 1 } });
    await apply(BigInt(4 + i));
  }
  await room.set(id, goOn);
  await apply(7n);
  const running = await room.state(id, JobState.RUNNING);
  expect(Number(running.attempts[0]?.deadlineUsedMs)).toBeGreaterThanOrEqual(9_000);
  expect(Number(running.attempts[0]?.deadlineUsedMs)).toBeLessThan(20_000);
  room.letPass(12);
  const asked = await one.heard("spec", (each) => each.spec?.generation === 8n);
  const cancel = { mode: RunMode.CANCEL, graceMs: 2_000, reason: "ran longer than 20 s" };
  expect(asked.spec?.levers.map(({ value }) => value?.value.value)).toContainEqual(expect.objectContaining(cancel));
  one.report(asked, { end: { outcome: EndOutcome.CANCELED, endLine: 1n, atUs: 1n } });
  const failed = await room.state(id, JobState.FAILED);
  expect(failed).toMatchObject({ reason: "ran longer than 20 s" });
  const receipt = failed.receipts.find(({ generation }) => generation === 8n);
  expect(receipt?.actor).toEqual(serverActor);
  // That it has ended may be proved already.
  expect([ReceiptState.APPLIED, ReceiptState.PROVED]).toContain(receipt?.state);
  expect(timers(await history(room, id))).toEqual([TimerKind.DEADLINE]);
});

test("a lost attempt is given up after 45 s and tried again elsewhere if that is the policy, and its worker is fenced when it returns", async () => {
  await using room = await TestRoom.open();
  const one = await room.connect();
  const { id } = await start(room, { retry: { mostAttempts: 3, whenLost: true } });
  const spec = await begin(room, one, id, 1);
  await one.kill();
  room.letPass(16);
  await room.state(id, JobState.LOST);
  room.letPass(46);
  const two = await room.connect({ workerId: "w2" });
  await begin(room, two, id, 2);
  expect(await room.get(id)).toMatchObject({
    state: JobState.RUNNING,
    tries: 1,
    attempts: [{ end: { outcome: EndOutcome.GIVEN_UP } }, { workerId: "w2" }],
  });
  expect(timers(await history(room, id))).toEqual([TimerKind.GIVE_UP]);
  const back = await room.connect({
    incarnation: one.incarnation,
    attempts: [{ jobId: id, attempt: spec.attempt, started: true }],
  });
  expect(await back.heard("fenced")).toMatchObject({ jobId: id, attempt: 1 });
});

test("a type says for its jobs how they are retried, how long they may take, and how many may run; an operator says otherwise", async () => {
  await using room = await TestRoom.open();
  const retry = { mostAttempts: 5, backOffMs: 1000n };
  const types = [{ name: "count", levers: ["run"], mostRunning: 1, retry, deadline: { afterMs: 60_000n } }];
  const one = await room.connect({ types, slots: 4 });
  const first = await start(room, {});
  expect(first).toMatchObject({
    retry: { mostAttempts: 5, factor: 2 },
    deadline: { afterMs: 60_000n, graceMs: 10_000 },
  });
  await begin(room, one, first.id, 1);
  const second = await start(room, { retry: { mostAttempts: 1 } });
  expect(second.retry).toBeUndefined();
  await expect.poll(() => room.waitsFor(second.id)).toBe("type count has its limit of 1 running · 1st in line");
  expect((await room.domain.jobs.listLimits({})).limits).toMatchObject([
    { limit: { type: "count", mostRunning: 1 }, running: 1, waiting: 1 },
  ]);
  const set = await room.domain.jobs.setLimit({ limit: { type: "count", mostRunning: 2 } });
  expect(set.limits).toMatchObject([{ limit: { mostRunning: 2, actor: { name: "operator" } } }]);
  await begin(room, one, second.id, 1);
  room.domain = await room.domain.reopen();
  expect((await room.domain.jobs.listLimits({})).limits).toMatchObject([{ limit: { mostRunning: 2 }, running: 2 }]);
  const [code] = await failure(room.domain.jobs.setLimit({ limit: { mostRunning: 2 } }));
  expect(code).toBe(Code.InvalidArgument);
});

test("the system stops only jobs of a type that can be stopped by it", async () => {
  await using room = await TestRoom.open();
  const types = [{ name: "count" }, { name: "program", systemStop: true }];
  const one = await room.connect({ types, slots: 4 });
  const stop = { case: "run", value: { mode: RunMode.PAUSE, bySystem: true } } as const;
  const count = await start(room, {});
  await begin(room, one, count.id, 1);
  const [code, message] = await failure(room.set(count.id, stop));
  expect([code, message]).toEqual([
    Code.FailedPrecondition,
    "The system cannot stop jobs of type 'count' where they stand. Pause without by_system: they stop at their next safe point.",
  ]);
  const program = await start(room, { type: "program" });
  await begin(room, one, program.id, 1);
  expect((await room.set(program.id, stop)).generation).toBe(3n);
  const [mixed] = await failure(room.set(program.id, { case: "run", value: { mode: RunMode.CANCEL, bySystem: true } }));
  expect(mixed).toBe(Code.InvalidArgument);
});

test.each([
  [{ retry: { mostAttempts: 101 } }, "has a retry policy that has most_attempts 101, at most 100 are allowed"],
  [{ deadline: { afterMs: 0n } }, "has a deadline that has after_ms 0, which is not 1 to 31622400000 (366 days)"],
  [{ mostRunning: 2 ** 31 + 1 }, "has most_running 2147483649, at most 2147483648 are allowed"],
])("a worker whose type says %o is refused", async (type, fault) => {
  await using room = await TestRoom.open();
  const worker = room.dial({ types: [{ name: "count", ...type }] });
  await worker.end();
  expect(String(worker.ended)).toContain(`Hello refused: job type 'count' ${fault}.`);
});

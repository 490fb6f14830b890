import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import {
  BulkCommandSchema,
  BulkOutcome,
  BulkState,
  EndOutcome,
  JobSelectionSchema,
  JobState,
  Level,
  RunMode,
  type BulkRecord,
} from "@signalbox/protocol";
import { expect, test } from "vitest";
import { cancel, failure, goOn, pause, TestRoom } from "../testing/open-test-room.ts";

type Selection = MessageInitShape<typeof JobSelectionSchema>;
type Command = MessageInitShape<typeof BulkCommandSchema>;

const all: Selection = { jobs: { case: "filter", value: {} } };
const idsOf = (...ids: string[]): Selection => ({ jobs: { case: "ids", value: { ids } } });
const cancelAll: Command = { action: { case: "set", value: { value: cancel } } };
const pauseAll: Command = { action: { case: "set", value: { value: pause } } };
const retryAll: Command = { action: { case: "retry", value: {} } };

/** Starts commands to many; without saying so they are not held. */
async function start(
  room: TestRoom,
  selection: Selection,
  command: Command,
  more: { requestId?: string; holdMs?: number; perSecond?: number } = {},
): Promise<BulkRecord> {
  const { bulk } = await room.domain.bulks.startBulk({
    requestId: room.nextId(),
    ...{ selection, command, holdMs: 0, perSecond: 1_000 },
    ...more,
  });
  if (!bulk) throw new Error("no record");
  return bulk;
}

/** A room whose jobs wait: their type is known, and its worker has left. */
async function roomOfWaiting(): Promise<TestRoom> {
  const room = await TestRoom.open();
  const worker = await room.connect();
  await worker.leave();
  return room;
}

async function get(room: TestRoom, bulkId: string): Promise<BulkRecord> {
  const { bulk } = await room.domain.bulks.getBulk({ bulkId });
  if (!bulk) throw new Error("no record");
  return bulk;
}

/** Resolves when it has that state. */
async function state(room: TestRoom, bulkId: string, wanted: BulkState): Promise<BulkRecord> {
  await expect.poll(async () => (await get(room, bulkId)).state).toBe(wanted);
  return get(room, bulkId);
}

const outcomes = ({ results }: BulkRecord) =>
  Object.fromEntries(results.map(({ jobId, outcome, reason }) => [jobId, reason || outcome]));

test("each job gets its command or is skipped with the reason, as the preview said, and receipts say of which many they are", async () => {
  await using room = await TestRoom.open();
  const worker = await room.connect({ slots: 1 });
  const running = (await room.startRunning(worker)).jobId;
  const waiting = (await room.start()).id;
  const held = (await room.start()).id;
  await room.set(held, pause);
  const ended = (await room.start()).id;
  await room.set(ended, cancel);

  const preview = await room.domain.bulks.previewBulk({ selection: all, command: pauseAll });
  expect(preview).toMatchObject({
    touched: [
      { state: JobState.QUEUED, jobs: 1, reason: "" },
      { state: JobState.RUNNING, jobs: 1, reason: "" },
    ],
    skipped: [
      { state: JobState.QUEUED, jobs: 1, reason: "held already" },
      { state: JobState.CANCELED, jobs: 1, reason: "canceled already" },
    ],
    touchedTotal: 2,
    skippedTotal: 2,
  });

  const { id } = await start(room, all, pauseAll);
  const done = await state(room, id, BulkState.DONE);
  expect(done).toMatchObject({ jobsTotal: 4, accepted: 2, skipped: 2, refused: 0, selectionWords: "all jobs" });
  expect(outcomes(done)).toEqual({
    [running]: BulkOutcome.ACCEPTED,
    [waiting]: BulkOutcome.ACCEPTED,
    [held]: "held already",
    [ended]: "canceled already",
  });
  const { receipts } = await room.get(running);
  const { generation } = done.results.find(({ jobId }) => jobId === running) ?? {};
  expect(receipts.find((receipt) => receipt.bulkId === id)).toMatchObject({
    generation,
    requestId: `${id}/${running}`,
  });
});

test("what is held can be taken back, and no job has noticed", async () => {
  await using room = await roomOfWaiting();
  const { id: jobId } = await room.start();
  const before = await room.get(jobId);
  const { id, state: first, heldUntilUs, createdAtUs } = await start(room, idsOf(jobId), cancelAll, { holdMs: 60_000 });
  expect([first, heldUntilUs - createdAtUs]).toEqual([BulkState.HELD, 60_000_000n]);
  const { bulk } = await room.domain.bulks.undoBulk({ bulkId: id });
  expect(bulk).toMatchObject({ state: BulkState.UNDONE, accepted: 0, endedBy: { name: "operator" } });
  expect(await room.get(jobId)).toEqual(before);
  expect(await failure(room.domain.bulks.releaseBulk({ bulkId: id }))).toEqual([
    Code.FailedPrecondition,
    "It cannot be released: it was undone.",
  ]);
});

test("it is held by the server's clock, and released before that if somebody says so", async () => {
  await using room = await roomOfWaiting();
  const first = (await room.start()).id;
  const second = (await room.start()).id;
  const waits = await start(room, idsOf(first), cancelAll, { holdMs: 30_000 });
  const released = await start(room, idsOf(second), cancelAll, { holdMs: 60_000 });
  await room.domain.bulks.releaseBulk({ bulkId: released.id });
  await state(room, released.id, BulkState.DONE);
  expect((await room.get(second)).state).toBe(JobState.CANCELED);
  expect((await room.get(first)).state).toBe(JobState.QUEUED);
  room.letPass(31);
  await state(room, waits.id, BulkState.DONE);
  expect((await room.get(first)).state).toBe(JobState.CANCELED);
  expect(await failure(room.domain.bulks.undoBulk({ bulkId: waits.id }))).toEqual([
    Code.FailedPrecondition,
    "It cannot be undone: it is done.",
  ]);
});

test("fifty copies of a request begin one, and the same id with another body is refused", async () => {
  await using room = await roomOfWaiting();
  const { id: jobId } = await room.start();
  const again = () => start(room, idsOf(jobId), cancelAll, { requestId: "once", holdMs: 60_000 });
  const copies = await Promise.all(Array.from({ length: 50 }, again));
  expect(new Set(copies.map(({ id }) => id)).size).toBe(1);
  expect((await room.domain.bulks.listBulks({})).bulks).toHaveLength(1);
  expect(await failure(start(room, idsOf(jobId), pauseAll, { requestId: "once" }))).toEqual([
    Code.AlreadyExists,
    "Request id once was used for other commands to many. Nothing was done; use a new id.",
  ]);
  const [{ id } = { id: "" }] = copies;
  await room.domain.bulks.releaseBulk({ bulkId: id });
  await state(room, id, BulkState.DONE);
  // The job has ended, and the answer is still the same.
  expect((await again()).state).toBe(BulkState.DONE);
  room.domain = await room.domain.reopen();
  expect((await again()).state).toBe(BulkState.DONE);
});

test("it is stopped half-way: jobs that have had no command get none", async () => {
  await using room = await roomOfWaiting();
  const jobs = await Promise.all(Array.from({ length: 40 }, () => room.start()));
  const { id } = await start(room, all, cancelAll, { perSecond: 10 });
  await expect.poll(async () => (await get(room, id)).accepted).toBeGreaterThan(2);
  const { bulk } = await room.domain.bulks.stopBulk({ bulkId: id });
  const stopped = await get(room, id);
  expect(bulk).toMatchObject({ state: BulkState.STOPPED, endedBy: { name: "operator" } });
  expect(stopped.accepted).toBeLessThan(40);
  expect(stopped.results).toHaveLength(stopped.accepted);
  const told = new Set(stopped.results.map(({ jobId }) => jobId));
  for (const job of jobs)
    expect((await room.get(job.id)).state).toBe(told.has(job.id) ? JobState.CANCELED : JobState.QUEUED);
  expect(await failure(room.domain.bulks.stopBulk({ bulkId: id }))).toEqual([
    Code.FailedPrecondition,
    "It cannot be stopped: it was stopped.",
  ]);
});

test("a server that is stopped in the middle goes on where it was, what is held stays held, and each job has one command", async () => {
  await using room = await roomOfWaiting();
  const jobs = await Promise.all(Array.from({ length: 30 }, () => room.start()));
  const other = (await room.start({}, "count")).id;
  const half = await start(room, idsOf(...jobs.map(({ id }) => id)), pauseAll, { perSecond: 20 });
  const held = await start(room, idsOf(other), cancelAll, { holdMs: 60_000 });
  await expect.poll(async () => (await get(room, half.id)).accepted).toBeGreaterThan(2);
  room.domain = await room.domain.reopen();
  expect((await get(room, half.id)).accepted).toBeLessThan(30);
  const done = await state(room, half.id, BulkState.DONE);
  expect(done).toMatchObject({ accepted: 30, skipped: 0, refused: 0 });
  for (const { id } of jobs) expect((await room.get(id)).spec?.generation).toBe(3n);
  expect(await get(room, held.id)).toMatchObject({ state: BulkState.HELD, heldUntilUs: held.heldUntilUs });
  await room.domain.bulks.undoBulk({ bulkId: held.id });
  expect((await room.get(other)).spec?.generation).toBe(2n);
});

test("a retry reaches the jobs that can be tried again and no others", async () => {
  await using room = await roomOfWaiting();
  const canceled = (await room.start()).id;
  await room.set(canceled, cancel);
  const waiting = (await room.start()).id;
  const { id } = await start(room, idsOf(canceled, waiting, "j-none"), retryAll);
  const done = await state(room, id, BulkState.DONE);
  expect(outcomes(done)).toEqual({
    [canceled]: BulkOutcome.ACCEPTED,
    [waiting]: "is waiting",
    "j-none": "there is no such job",
  });
  expect((await room.get(canceled)).state).toBe(JobState.QUEUED);
});

test("a lever that a type does not have is no reason to refuse the others", async () => {
  await using room = await TestRoom.open();
  const worker = await room.connect({
    types: [
      { name: "count", levers: ["run", "speed"] },
      { name: "plain", levers: ["run"] },
    ],
  });
  const quick = (await room.startRunning(worker)).jobId;
  const plain = (await room.startRunning(worker, "plain")).jobId;
  const speed: Command = { action: { case: "set", value: { value: { case: "speed", value: { itemsPerSecond: 5 } } } } };
  const done = await state(room, (await start(room, all, speed)).id, BulkState.DONE);
  expect(outcomes(done)).toEqual({ [quick]: BulkOutcome.ACCEPTED, [plain]: "its type has no such lever" });
  expect(await failure(start(room, all, speed))).toEqual([
    Code.FailedPrecondition,
    expect.stringMatching(/^Nothing is left to do for all jobs: /) as string,
  ]);
  const level: Command = {
    action: { case: "set", value: { value: { case: "logLevel", value: { level: Level.UNSPECIFIED } } } },
  };
  expect((await failure(start(room, all, level)))[0]).toBe(Code.InvalidArgument);
});

test("every page sees what is held, who gave it and how far it is", async () => {
  await using room = await roomOfWaiting();
  await room.start();
  const seen: BulkState[] = [];
  const watched = room.watch([{ id: "b", kind: { case: "bulks", value: {} } }], (responses) => {
    const { message } = responses.at(-1) ?? {};
    if (message?.case === "bulks")
      for (const { actor, state } of message.value.records) {
        expect(actor?.name).toBe("operator");
        seen.push(state);
      }
    return seen.includes(BulkState.DONE);
  });
  const { id } = await start(room, all, { action: { case: "set", value: { value: goOn } } }).catch(() => ({ id: "" }));
  expect(id).toBe("");
  const given = await start(
    room,
    all,
    { action: { case: "set", value: { value: { case: "run", value: { mode: RunMode.PAUSE } } } } },
    { holdMs: 60_000 },
  );
  await expect.poll(() => seen).toContain(BulkState.HELD);
  await room.domain.bulks.releaseBulk({ bulkId: given.id });
  await watched;
  // Who comes later sees it at once.
  const later = await room.watch([{ id: "b", kind: { case: "bulks", value: {} } }], (responses) =>
    responses.some(({ message }) => message.case === "caughtUp"),
  );
  expect(later.flatMap(({ message }) => (message.case === "bulks" ? message.value.records : []))).toMatchObject([
    { id: given.id, state: BulkState.DONE, accepted: 1 },
  ]);
});

test("only so many are open at a time, and what is out of bounds is refused in words", async () => {
  await using room = await roomOfWaiting();
  await room.start();
  const held = (n: number) => start(room, all, cancelAll, { requestId: `held ${n}`, holdMs: 60_000 });
  for (let i = 0; i < 20; i++) await held(i);
  expect(await failure(held(20))).toEqual([
    Code.ResourceExhausted,
    "20 commands to many are held or run already. Wait until one of them is done, or stop one.",
  ]);
  expect((await failure(start(room, all, cancelAll, { holdMs: 60_001 })))[0]).toBe(Code.InvalidArgument);
  expect((await failure(start(room, all, cancelAll, { perSecond: 1_001 })))[0]).toBe(Code.InvalidArgument);
  expect((await failure(start(room, all, create(BulkCommandSchema))))[0]).toBe(Code.InvalidArgument);
  const endsLater = { ...pauseAll, hold: { durationMs: 1n, then: { value: cancel } } };
  expect(await failure(start(room, all, endsLater))).toEqual([
    Code.InvalidArgument,
    expect.stringMatching(/A cancel is for good/),
  ]);
  expect((await failure(start(room, create(JobSelectionSchema), cancelAll)))[0]).toBe(Code.InvalidArgument);
  const many = Array.from({ length: 10_001 }, (_, i) => `j-${i}`);
  expect(await failure(start(room, idsOf(...many), cancelAll))).toEqual([
    Code.InvalidArgument,
    "10001 jobs are selected, at most 10000 get commands at once. Select fewer.",
  ]);
});

test("a day after its end it is listed no more, its topic is trimmed, and its request id stays used", async () => {
  await using room = await roomOfWaiting();
  const { id: jobId } = await room.start();
  const { id } = await start(room, idsOf(jobId), pauseAll, { requestId: "old" });
  await state(room, id, BulkState.DONE);
  room.letPass(1);
  room.domain = await room.domain.reopen();
  expect((await room.domain.bulks.listBulks({})).bulks).toHaveLength(1);
  for (let hours = 0; hours < 25; hours++) room.letPass(3600);
  room.domain = await room.domain.reopen();
  await expect.poll(async () => (await room.domain.bulks.listBulks({})).bulks).toEqual([]);
  expect((await failure(room.domain.bulks.getBulk({ bulkId: id })))[0]).toBe(Code.NotFound);
  expect(await room.domain.store.journal.read(`bulk/${id}`, 0)).toHaveLength(1);
  await room.set(jobId, goOn);
  expect((await failure(start(room, idsOf(jobId), pauseAll, { requestId: "old" })))[0]).toBe(Code.AlreadyExists);
});

test("a retry of jobs of a pinned type waits for their worker after a start of the server, and is refused once it had its time", async () => {
  await using room = await TestRoom.open();
  const w1 = { workerId: "w1", slots: 4, types: [{ name: "command", pinned: true }] };
  const worker = await room.connect(w1);
  const failed: string[] = [];
  for (let i = 0; i < 3; i++) {
    const spec = await room.startRunning(worker, "command", "w1");
    worker.report(spec, { end: { outcome: EndOutcome.FAILED, endLine: 1n, atUs: 1n } });
    await room.state(spec.jobId, JobState.FAILED);
    failed.push(spec.jobId);
  }
  const [first = "", second = "", third = ""] = failed;
  // One is held when the server goes, one is asked for before the worker is back.
  const held = await start(room, idsOf(first), retryAll, { holdMs: 100 });
  room.domain = await room.domain.reopen();
  expect(await state(room, held.id, BulkState.DONE)).toMatchObject({ accepted: 1, refused: 0 });
  const early = await start(room, idsOf(second), retryAll);
  expect(await state(room, early.id, BulkState.DONE)).toMatchObject({ accepted: 1, refused: 0 });
  expect([(await room.get(first)).state, (await room.get(second)).state]).toEqual([JobState.QUEUED, JobState.QUEUED]);
  const back = await room.connect(w1);
  for (const id of [first, second]) await back.heard("spec", ({ jobId, attempt }) => jobId === id && attempt === 2);

  // Where it is seen to go, and where it does not come back in the time of a lease, nobody waits for it.
  await back.kill();
  const why = async () => (await failure(start(room, idsOf(third), retryAll)))[1];
  await expect.poll(why).toContain("only worker w1 may run it, which is gone");
  room.domain = await room.domain.reopen();
  expect((await room.domain.bulks.previewBulk({ selection: idsOf(third), command: retryAll })).touchedTotal).toBe(1);
  room.letPass(16);
  expect(await why()).toContain("only worker w1 may run it, which is gone");
});

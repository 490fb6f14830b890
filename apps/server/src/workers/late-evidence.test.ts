import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  ChunkBuilder,
  ChunkLines,
  EndOutcome,
  GapCause,
  GapSchema,
  JobState,
  LeverOutcome,
  LeverReportSchema,
  LogRefusalSchema,
  PushLogsOpenSchema,
  PushLogsRequestSchema,
  PushLogsResponseSchema,
  type AttemptSpec,
  type JobEntry,
  type LogEntry,
  type PushLogsRequest,
  type PushLogsResponse,
} from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Logs } from "../logs/logs.ts";
import { TestRoom, failure } from "../testing/open-test-room.ts";
import type { TestWorker } from "../testing/test-worker.ts";

let room: TestRoom;
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(() => room[Symbol.asyncDispose]());

const ended = (outcome: EndOutcome, endLine: bigint) => ({ outcome, endLine, atUs: 5n, reason: "all done" });

/** A job whose first attempt, on w1, has stored lines 1 to 3 and is lost since 46 s. */
async function lostWithThreeLines(): Promise<{ worker: TestWorker; spec: AttemptSpec }> {
  const worker = await room.connect({ workerId: "w1" });
  const spec = await room.startRunning(worker);
  const push = worker.push(spec.jobId, 1);
  push.lines(["one", "two", "three"]);
  await push.acknowledged(4);
  await worker.kill();
  room.letPass(16);
  await room.state(spec.jobId, JobState.LOST);
  room.letPass(46);
  return { worker, spec };
}

/** The same, given up for a retry that w2 runs and that has stored line 1. */
async function runsAgainElsewhere() {
  const { worker, spec } = await lostWithThreeLines();
  await room.domain.jobs.retryJob({ jobId: spec.jobId, requestId: room.nextId() });
  const other = await room.connect({ workerId: "w2" });
  const again = await other.heard("spec", ({ jobId }) => jobId === spec.jobId);
  other.report(again);
  const push = other.push(spec.jobId, 2);
  push.lines(["again"]);
  await push.acknowledged(2);
  await room.state(spec.jobId, JobState.RUNNING);
  return { worker, spec, jobId: spec.jobId, other, again };
}

/** The process of a killed worker wakes: it connects again with what it still believes. */
async function wake({ workerId, incarnation }: TestWorker, jobId: string): Promise<TestWorker> {
  const woken = await room.connect({ workerId, incarnation, attempts: [{ jobId, attempt: 1, started: true }] });
  await woken.heard("fenced", (fenced) => fenced.jobId === jobId && fenced.attempt === 1);
  return woken;
}

async function entriesOf(jobId: string, attempt: number, late = false): Promise<LogEntry[]> {
  return (await room.domain.logs.readLogs({ jobId, attempt, late })).entries;
}

async function textOf(jobId: string, attempt: number, late = false): Promise<string> {
  const bytes = await room.domain.domain.readLog(jobId, attempt, new AbortController().signal, late);
  let text = "";
  for await (const each of bytes ?? []) text += Buffer.from(each).toString();
  return text;
}

/** All entries of a job's history. */
async function history(jobId: string): Promise<JobEntry[]> {
  const seen = await room.watch([{ id: "job", kind: { case: "job", value: { jobId } } }], (all) =>
    all.some(({ message }) => message.case === "caughtUp"),
  );
  return seen.flatMap(({ message }) => (message.case === "entries" ? message.value.entries : []));
}

const lateCauses = async (jobId: string) =>
  (await history(jobId)).flatMap(({ cause }) => (cause.case === "late" ? [cause.value] : []));

describe("a process that wakes after its attempt was given up for another one", () => {
  test("writes nothing into either attempt: its lines and its end are late evidence, and the job goes on", async () => {
    const { worker, spec, jobId, other } = await runsAgainElsewhere();
    const woken = await wake(worker, jobId);
    const push = woken.push(jobId, 1);
    await push.acknowledged(4);
    expect(push.acks[0]).toMatchObject({ nextLine: 4n, late: true });
    push.lines(["four", "five"], 4);
    await push.acknowledged(6);
    expect(push.acks.every(({ late }) => late)).toBe(true);
    woken.report(spec, { end: ended(EndOutcome.SUCCEEDED, 6n) });
    await woken.heard("endAccepted", ({ attempt }) => attempt === 1);

    const record = await room.get(jobId);
    expect([record.state, record.attempts.length]).toEqual([JobState.RUNNING, 2]);
    expect(record.attempts[0]?.end).toMatchObject({ outcome: EndOutcome.GIVEN_UP });
    expect(record.late).toMatchObject([
      { attempt: 1, firstLine: 4n, end: { outcome: EndOutcome.SUCCEEDED, reason: "all done", endLine: 6n } },
    ]);
    expect(await lateCauses(jobId)).toMatchObject([
      { attempt: 1, firstLine: 4n },
      { attempt: 1, firstLine: 0n, end: { outcome: EndOutcome.SUCCEEDED } },
    ]);
    expect(await textOf(jobId, 1)).toBe("one\ntwo\nthree\n");
    expect(await textOf(jobId, 1, true)).toBe("four\nfive\n");
    expect(await textOf(jobId, 2)).toBe("again\n");

    const goesOn = other.push(jobId, 2);
    await goesOn.acknowledged(2);
    goesOn.lines(["and on"], 2);
    await goesOn.acknowledged(3);
    expect(goesOn.acks.some(({ late }) => late)).toBe(false);
    expect(room.domain.domain.workers.ingest.counts).toMatchObject({ lines: 7, lateLines: 2 });
    expect((await room.domain.jobs.getJob({ jobId })).vitals?.lines).toBe(2n);
  });

  test("is acknowledged again what it repeats, and told its place when it leaves a hole or comes anew", async () => {
    const { worker, jobId } = await runsAgainElsewhere();
    const woken = await wake(worker, jobId);
    const first = woken.push(jobId, 1);
    first.lines(["four", "five"], 4);
    await first.acknowledged(6);
    first.lines(["four", "five", "six"], 4);
    await first.acknowledged(7);
    const gap = create(GapSchema, { firstLine: 7n, lineCount: 3n, cause: GapCause.DROPPED_DEBUG });
    first.say({ case: "gap", value: gap });
    await first.acknowledged(10);
    first.lines(["eleven"], 11);
    const error = ConnectError.from(await first.ended);
    expect([error.code, error.findDetails(LogRefusalSchema)[0]?.nextLine]).toEqual([Code.Aborted, 10n]);
    const second = woken.push(jobId, 1);
    await second.acknowledged(10);
    expect(second.acks[0]).toMatchObject({ nextLine: 10n, late: true });
    expect(await textOf(jobId, 1, true)).toBe("four\nfive\nsix\n");
    expect(await lateCauses(jobId)).toHaveLength(1);
    const shapes = (await entriesOf(jobId, 1, true)).map(({ entry }) =>
      entry.case === "chunk" ? new ChunkLines(entry.value).count : entry.case,
    );
    expect(shapes).toEqual([2, 1, "gap"]);
  });

  test("says its end before its lines, and is heard when they are there", async () => {
    const { worker, spec, jobId } = await runsAgainElsewhere();
    const woken = await wake(worker, jobId);
    for (let i = 0; i < 3; i++) woken.report(spec, { end: ended(EndOutcome.FAILED, 5n) });
    const push = woken.push(jobId, 1);
    await push.acknowledged(4);
    expect((await room.get(jobId)).late).toEqual([]);
    push.lines(["four"], 4);
    await woken.heard("endAccepted", ({ attempt }) => attempt === 1);
    // The end and the first line are two entries, in either order.
    await vi.waitFor(async () =>
      expect((await room.get(jobId)).late).toMatchObject([{ firstLine: 4n, end: { outcome: EndOutcome.FAILED } }]),
    );
    expect(await lateCauses(jobId)).toHaveLength(2);
  });

  test("with another incarnation may not add to the evidence", async () => {
    const { jobId } = await runsAgainElsewhere();
    const stranger = await room.connect({ workerId: "w1" });
    expect(ConnectError.from(await stranger.push(jobId, 1).ended)).toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: expect.stringContaining("does not run in this process") as unknown,
    });
  });

  test("of which a reader follows the evidence as it comes", async () => {
    const { worker, jobId } = await runsAgainElsewhere();
    expect(await room.domain.logs.readLogs({ jobId, attempt: 1, late: true })).toMatchObject({
      entries: [],
      nextLine: 4n,
      endLine: 4n,
      sealed: false,
    });
    const log = { case: "log" as const, value: { jobId, attempt: 1, late: true } };
    const following = room.watch([{ id: "late", kind: log }], (seen) =>
      seen.some(({ message }) => message.case === "log" && message.value.entries.length > 0),
    );
    const woken = await wake(worker, jobId);
    woken.push(jobId, 1).lines(["four"], 4);
    const deliveries = (await following).flatMap(({ message }) => (message.case === "log" ? [message.value] : []));
    expect(deliveries.map(({ endLine }) => endLine)).toEqual([4n, 5n]);
    expect(deliveries[1]?.levelCounts.reduce((all, each) => all + each)).toBe(1n);
  });
});

test("an attempt that refused what it should begin with ended without its worker's word on that: what it printed is late evidence", async () => {
  const worker = await room.connect();
  const { id, spec: wanted } = await room.start();
  const spec = await worker.heard("spec", ({ jobId }) => jobId === id);
  const levers = (wanted?.levers ?? []).map(({ generation, value }) =>
    create(LeverReportSchema, {
      generation,
      outcome: LeverOutcome.REJECTED,
      reason: "no such folder",
      ...(value ? { value } : {}),
    }),
  );
  worker.report(spec, { levers });
  await room.state(id, JobState.FAILED);
  const push = worker.push(id, 1);
  push.lines(["there is no such folder"]);
  await push.acknowledged(2);
  expect(push.acks[0]).toMatchObject({ nextLine: 1n, late: true });
  worker.report(spec, { levers, end: ended(EndOutcome.FAILED, 2n) });
  await worker.heard("endAccepted");
  expect(await room.get(id)).toMatchObject({
    state: JobState.FAILED,
    reason: expect.stringContaining("the worker cannot start with this") as unknown,
    late: [{ attempt: 1, firstLine: 1n, end: { outcome: EndOutcome.FAILED } }],
  });
});

test("the plain way of PushLogs says of late lines that they are", async () => {
  const { worker, jobId } = await runsAgainElsewhere();
  const said: PushLogsResponse[] = [];
  const call = room.domain.domain.plainPushLogs.accept({
    canSend: true,
    send: (framed) => said.push(fromBinary(PushLogsResponseSchema, framed.subarray(5))),
    want: () => undefined,
    end: () => undefined,
  });
  const say = (message: PushLogsRequest["message"]) =>
    call.message(toBinary(PushLogsRequestSchema, create(PushLogsRequestSchema, { message })));
  const { incarnation } = worker;
  say({ case: "open", value: create(PushLogsOpenSchema, { jobId, attempt: 1, incarnation, spooled: true }) });
  await expect.poll(() => said.at(-1)).toMatchObject({ nextLine: 4n, late: true });
  const chunk = new ChunkBuilder();
  chunk.add(Buffer.from("four\n"), { timeUs: 1 });
  say({ case: "chunk", value: chunk.build(4) });
  await expect.poll(() => said.at(-1)).toMatchObject({ nextLine: 5n, late: true });
  call.closed();
  expect(await textOf(jobId, 1, true)).toBe("four\n");
});

test("a stream that is open while the attempt is given up ends as one that is to be opened again", async () => {
  const worker = await room.connect({ workerId: "w1" });
  const { jobId } = await room.startRunning(worker);
  const push = worker.push(jobId, 1);
  push.lines(["one"]);
  await push.acknowledged(2);
  await worker.kill();
  room.letPass(16);
  await room.state(jobId, JobState.LOST);
  room.letPass(46);
  await room.domain.jobs.retryJob({ jobId, requestId: room.nextId() });
  await expect.poll(async () => (await room.domain.logs.readLogs({ jobId, attempt: 1 })).sealed).toBe(true);
  push.lines(["two"]);
  expect(ConnectError.from(await push.ended)).toMatchObject({
    code: Code.Unavailable,
    rawMessage: expect.stringContaining("open the stream again") as unknown,
  });
  const woken = await wake(worker, jobId);
  const again = woken.push(jobId, 1);
  again.lines(["two"], 2);
  await again.acknowledged(3);
  expect([await textOf(jobId, 1), await textOf(jobId, 1, true)]).toEqual(["one\n", "two\n"]);
});

test("lines of an attempt that was given up without a retry leave the job as it ended, with the vitals that it had", async () => {
  const { worker, spec } = await lostWithThreeLines();
  await room.domain.jobs.sendCommand({
    requestId: room.nextId(),
    jobId: spec.jobId,
    command: { action: { case: "giveUp", value: { reason: "the machine burnt" } } },
  });
  await room.state(spec.jobId, JobState.FAILED);
  room.domain = await room.domain.reopen();
  const before = await room.get(spec.jobId);
  const woken = await wake(worker, spec.jobId);
  const push = woken.push(spec.jobId, 1);
  push.lines(["four"], 4);
  await push.acknowledged(5);
  await expect.poll(async () => (await room.get(spec.jobId)).late).toMatchObject([{ attempt: 1, firstLine: 4n }]);
  const after = await room.get(spec.jobId);
  expect(after.vitals).toMatchObject({ lines: 3n });
  expect({ ...after, late: [], entryPosition: 0n }).toEqual({ ...before, entryPosition: 0n });
});

test("an attempt whose worker said how it ended takes nothing more, and its log says where it stands", async () => {
  const worker = await room.connect();
  const spec = await room.startRunning(worker);
  const push = worker.push(spec.jobId, 1);
  push.lines(["one"]);
  await push.acknowledged(2);
  worker.report(spec, { end: ended(EndOutcome.SUCCEEDED, 2n) });
  await worker.heard("endAccepted");
  const refused = ConnectError.from(await worker.push(spec.jobId, 1).ended);
  expect([refused.code, refused.rawMessage, refused.findDetails(LogRefusalSchema)[0]?.nextLine]).toEqual([
    Code.FailedPrecondition,
    `Attempt 1 of job ${spec.jobId} has ended by its worker's word, and all its lines are stored: none can follow.`,
    2n,
  ]);
  expect((await room.get(spec.jobId)).late).toEqual([]);
});

describe("a start of the server", () => {
  test("says of late evidence that it is there, where a crash left the job's history without a word of it", async () => {
    const { spec, jobId } = await runsAgainElsewhere();
    const { log } = await new Logs(room.domain.store.journal).late.open(jobId, 1);
    const chunk = new ChunkBuilder();
    chunk.add(Buffer.from("four\n"), { timeUs: 1 });
    await log.append(chunk.build(4), { incarnation: "i".repeat(16), clockOffsetUs: 0 });
    expect((await room.get(jobId)).late).toEqual([]);
    room.domain = await room.domain.reopen();
    expect((await room.get(spec.jobId)).late).toMatchObject([{ attempt: 1, firstLine: 4n }]);
    room.domain = await room.domain.reopen();
    expect(await lateCauses(jobId)).toHaveLength(1);
    expect(await new Logs(room.domain.store.journal).late.end(jobId, 1)).toMatchObject({ nextLine: 5, sealed: false });
  });
});

describe("a spool", () => {
  const words = async (ended: Promise<unknown>) => {
    const { code, rawMessage } = ConnectError.from(await ended);
    return [code, rawMessage];
  };

  test("of a process that is connected is not taken from anybody else", async () => {
    const worker = await room.connect();
    const { jobId } = await room.startRunning(worker);
    expect(await words(worker.deliver(jobId, 1, worker.incarnation).ended)).toEqual([
      Code.FailedPrecondition,
      `The process ${worker.incarnation} is connected: it delivers its lines itself.`,
    ]);
  });

  test("of a process that is gone goes on in the attempt's own log, and the job stays lost", async () => {
    const { worker, spec } = await lostWithThreeLines();
    const deliverer = await room.connect({ workerId: "w2", types: [{ name: "other" }] });
    const push = deliverer.deliver(spec.jobId, 1, worker.incarnation);
    await push.acknowledged(4);
    expect(push.acks[0]).toMatchObject({ nextLine: 4n, late: false });
    push.lines(["three", "four"], 3);
    await push.acknowledged(5);
    push.close();
    expect(await push.ended).toBeUndefined();
    expect(await textOf(spec.jobId, 1)).toBe("one\ntwo\nthree\nfour\n");
    const { state, vitals, late, attempts } = await room.get(spec.jobId);
    expect([state, late, attempts.length]).toEqual([JobState.LOST, [], 1]);
    expect(attempts[0]?.lostAtUs).not.toBe(0n);
    expect((await room.domain.jobs.getJob({ jobId: spec.jobId })).vitals?.lines).toBe(4n);
    expect(vitals?.lines).toBeDefined();
  });

  test("is read with the clock that its lines had", async () => {
    const { worker, spec } = await lostWithThreeLines();
    const deliverer = await room.connect({ workerId: "w2", types: [{ name: "other" }] });
    const push = deliverer.deliver(spec.jobId, 1, worker.incarnation);
    push.lines(["four"], 4);
    await push.acknowledged(5);
    const headers = (await entriesOf(spec.jobId, 1)).flatMap(({ entry }) =>
      entry.case === "chunk" ? [entry.value.header] : [],
    );
    expect(headers).toHaveLength(2);
    expect(headers[1]?.incarnation).toBe(worker.incarnation);
    expect(headers[1]?.clockOffsetUs).toBe(headers[0]?.clockOffsetUs);
  });

  test("of an attempt that was given up is late evidence", async () => {
    const { worker, jobId, other } = await runsAgainElsewhere();
    const push = other.deliver(jobId, 1, worker.incarnation);
    push.lines(["four"], 4);
    await push.acknowledged(5);
    expect(push.acks[0]?.late).toBe(true);
    expect([await textOf(jobId, 1), await textOf(jobId, 1, true)]).toEqual(["one\ntwo\nthree\n", "four\n"]);
    await expect.poll(async () => (await room.get(jobId)).late).toMatchObject([{ attempt: 1, firstLine: 4n }]);
  });

  test("of another process is not taken for the attempt", async () => {
    const { jobId, other } = await runsAgainElsewhere();
    expect(await words(other.deliver(jobId, 1, "z".repeat(16)).ended)).toEqual([
      Code.FailedPrecondition,
      `Attempt 1 of job ${jobId} does not run in this process: its lines are not taken.`,
    ]);
  });

  test("is delivered no further when its process is there again, which goes on where it stands", async () => {
    const { worker, spec } = await lostWithThreeLines();
    const deliverer = await room.connect({ workerId: "w2", types: [{ name: "other" }] });
    const push = deliverer.deliver(spec.jobId, 1, worker.incarnation);
    push.lines(["four"], 4);
    await push.acknowledged(5);
    const back = await room.connect({
      workerId: "w1",
      incarnation: worker.incarnation,
      attempts: [{ jobId: spec.jobId, attempt: 1, started: true }],
    });
    expect((await words(push.ended))[0]).toBe(Code.FailedPrecondition);
    await room.state(spec.jobId, JobState.RUNNING);
    const own = back.push(spec.jobId, 1);
    await own.acknowledged(5);
    own.lines(["five"], 5);
    await own.acknowledged(6);
    expect(await textOf(spec.jobId, 1)).toBe("one\ntwo\nthree\nfour\nfive\n");
  });

  test("of a job that nobody knows is not found", async () => {
    const worker = await room.connect();
    expect((await words(worker.deliver("j-none", 1, "z".repeat(16)).ended))[0]).toBe(Code.NotFound);
    expect((await failure(room.domain.logs.readLogs({ jobId: "j-none", late: true })))[0]).toBe(Code.NotFound);
  });
});

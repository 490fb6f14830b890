import { randomUUID } from "node:crypto";
import { Code, ConnectError } from "@connectrpc/connect";
import { EndOutcome, JobState, Level, ReceiptState, RunMode, type JobEntry, type Receipt } from "@signalbox/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RealRoom } from "../testing/real-room.ts";

// What operators do to running jobs, with a real server and a real worker that keeps a journal of what its jobs really do.

const pause = { case: "run", value: { mode: RunMode.PAUSE } } as const;
const resume = { case: "run", value: { mode: RunMode.RUN } } as const;
const cancel = { case: "run", value: { mode: RunMode.CANCEL, graceMs: 2_000 } } as const;
const long = { timeout: 30_000 };

let room: RealRoom;
beforeAll(async () => {
  room = await RealRoom.open();
  await room.start();
  await room.worker("w1", { program: "journal-worker" });
}, 120_000);
afterAll(() => room[Symbol.asyncDispose]());

/** The numbers that the job has counted, by its worker's journal. */
async function ticks(jobId: string): Promise<number[]> {
  return (await room.journal(jobId)).flatMap((line) => /^\d+ tick (\d+)$/.exec(line)?.[1] ?? []).map(Number);
}

async function running(type: "ticks" | "slow", parameters = {}): Promise<string> {
  const id = await room.startJob(type, parameters);
  await room.state(id, JobState.RUNNING);
  await expect.poll(async () => (await room.journal(id)).length, long).toBeGreaterThan(1);
  return id;
}

const isDecided = (receipt: Receipt | undefined) => (receipt?.state ?? 0) >= ReceiptState.APPLIED;
/** The receipt of a command when it is decided. */
async function decided(jobId: string, generation: bigint): Promise<Receipt> {
  await expect.poll(async () => isDecided(await room.receipt(jobId, generation)), long).toBe(true);
  const receipt = await room.receipt(jobId, generation);
  if (!receipt) throw new Error(`the receipt of ${generation} is gone`);
  return receipt;
}

/** The states that the job went through. */
function statesOf(history: readonly JobEntry[]): (JobState | undefined)[] {
  return history.map(({ record }) => record?.state).filter((state, i, all) => state !== all[i - 1]);
}

async function refusal(call: Promise<unknown>): Promise<[Code, string]> {
  const error = ConnectError.from(
    await call.then(
      () => new Error("the call succeeded"),
      (reason: unknown) => reason,
    ),
  );
  return [error.code, error.rawMessage];
}

test(
  "a pause is real: the counter stands where it says, it is proved, and a resume goes on with the next item",
  { timeout: 90_000 },
  async () => {
    const id = await running("ticks");
    const paused = await room.set(id, pause);
    await decided(id, paused);
    const stoodAt = (await ticks(id)).length;
    const since = Date.now();
    await expect
      .poll(async () => {
        expect((await ticks(id)).length).toBe(stoodAt);
        return Date.now() - since > 3_000;
      }, long)
      .toBe(true);
    const words = `the counter stands at ${stoodAt.toLocaleString("en-US")}`;
    await expect.poll(() => room.receipt(id, paused), long).toMatchObject({ state: ReceiptState.PROVED, proof: words });
    expect((await ticks(id)).length).toBe(stoodAt);

    const resumed = await room.set(id, resume);
    await expect.poll(() => room.receipt(id, resumed), long).toMatchObject({ state: ReceiptState.PROVED });
    await expect.poll(async () => (await ticks(id)).length, long).toBeGreaterThan(stoodAt + 20);
    const all = await ticks(id);
    expect(all).toEqual(all.map((_, i) => i + 1));

    // Its speed and its level, too.
    const speed = await room.set(id, { case: "speed", value: { itemsPerSecond: 20 } });
    const level = await room.set(id, { case: "logLevel", value: { level: Level.INFO } });
    await expect
      .poll(() => room.receipt(id, speed), long)
      .toMatchObject({
        state: ReceiptState.PROVED,
        proof: expect.stringMatching(/^(1\d|2[01])(\.\d)?\u00a0\/s$/) as string,
      });
    const quiet = (await decided(id, level)).atLine;
    await expect
      .poll(() => room.receipt(id, level), long)
      .toMatchObject({
        state: ReceiptState.PROVED,
        proof: expect.stringMatching(/^no line below INFO since line [\d,]+$/) as string,
      });
    const text = (await room.text(id)).toString().split("\n");
    expect(text.slice(Number(quiet) - 1).join("\n")).not.toContain("detail");

    const ended = await room.set(id, cancel);
    await expect
      .poll(() => room.receipt(id, ended), long)
      .toMatchObject({
        state: ReceiptState.PROVED,
        proof: expect.stringMatching(/^it ended after line [\d,]+$/) as string,
      });
    const count = (await ticks(id)).length;
    expect((await room.journal(id)).slice(-2)).toEqual([`1 tick ${count}`, "1 ends"]);
    const { QUEUED, RUNNING, PAUSED, CANCELED } = JobState;
    const history = await room.history(id);
    expect(statesOf(history)).toEqual([QUEUED, RUNNING, PAUSED, RUNNING, CANCELED]);
    // One entry for each proof, and none else.
    const proved = history.flatMap(({ cause }) => (cause.case === "proof" ? [cause.value.generation] : []));
    expect(proved.toSorted((a, b) => Number(a - b))).toEqual([paused, resumed, speed, level, ended]);
  },
);

test(
  "of two who contradict each other on what both saw, one moves the lever, and the other is told by whom it was moved",
  { timeout: 60_000 },
  async () => {
    const id = await running("ticks");
    const ifGeneration = (await room.state(id, JobState.RUNNING)).spec?.generation ?? 0n;
    const calls = await Promise.allSettled([
      room.set(id, pause, { ifGeneration }),
      room.set(id, cancel, { ifGeneration }),
    ]);
    const won = calls.flatMap((call) => (call.status === "fulfilled" ? [call.value] : []));
    const lost = calls.flatMap((call) => (call.status === "rejected" ? [ConnectError.from(call.reason)] : []));
    expect([won.length, lost.length]).toEqual([1, 1]);
    expect(won).toEqual([ifGeneration + 1n]);
    expect(lost[0]?.code).toBe(Code.Aborted);
    expect(lost[0]?.rawMessage).toMatch(/moved the run lever since you looked, [\d.]+\sm?s ago: (Pause|Cancel)\./);
    await expect.poll(async () => isDecided(await room.receipt(id, ifGeneration + 1n)), long).toBe(true);
    const commands = (await room.history(id)).filter(({ cause }) => cause.case === "command");
    expect(commands).toHaveLength(1);
    if (!commands[0]?.record) throw new Error("no command");
    const { mode } = commands[0].record.receipts.at(-1)?.value?.value.value as { mode: RunMode };
    await room.state(id, mode === RunMode.PAUSE ? JobState.PAUSED : JobState.CANCELED);
  },
);

test("of two who ask for the same both are heard, and the job pauses once", { timeout: 60_000 }, async () => {
  const id = await running("ticks");
  const both = await Promise.all([room.set(id, pause), room.set(id, pause)]);
  await room.state(id, JobState.PAUSED);
  const newest = both.reduce((a, b) => (a > b ? a : b));
  expect((await decided(id, newest)).state).toBeGreaterThanOrEqual(ReceiptState.APPLIED);
  const history = await room.history(id);
  expect(statesOf(history).filter((state) => state === JobState.PAUSED)).toHaveLength(1);
  const outcomes = new Map(
    history.flatMap(({ record }) => record?.receipts.map((each) => [each.generation, each.state]) ?? []),
  );
  for (const generation of both)
    expect([ReceiptState.APPLIED, ReceiptState.PROVED, ReceiptState.SUPERSEDED]).toContain(outcomes.get(generation));
});

test(
  "of fifty copies of a command that come at the same time one has an effect, all are answered alike, and another command under its id is refused",
  { timeout: 60_000 },
  async () => {
    const id = await running("ticks");
    const requestId = randomUUID();
    const rooms = [room.jobs, ...room.moreConnections(2)];
    const command = {
      action: { case: "set", value: { value: { case: "speed", value: { itemsPerSecond: 50 } } } },
    } as const;
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, i) => (rooms[i % 3] ?? room.jobs).sendCommand({ requestId, jobId: id, command })),
    );
    expect(new Set(replies.map(({ generation }) => generation)).size).toBe(1);
    const receipts = replies.map(({ job, generation }) => job?.receipts.find((each) => each.generation === generation));
    expect(receipts.every((receipt) => receipt?.requestId === requestId)).toBe(true);
    const ofThis = (await room.history(id)).filter(({ requestId: each }) => each === requestId);
    expect(ofThis.map(({ cause }) => cause.case)).toEqual(["command"]);
    expect(await refusal(room.set(id, { case: "speed", value: { itemsPerSecond: 51 } }, { requestId }))).toEqual([
      Code.AlreadyExists,
      expect.stringContaining("was used for something else"),
    ]);
    await room.set(id, cancel);
  },
);

test(
  "a job that has ended takes no command: it says how it ended, and nothing of it changes",
  { timeout: 60_000 },
  async () => {
    const id = await room.startJob("race", { ms: 0 });
    await room.state(id, JobState.SUCCEEDED);
    const before = await room.history(id);
    for (const lever of [pause, resume, cancel])
      expect(await refusal(room.set(id, lever))).toEqual([
        Code.FailedPrecondition,
        expect.stringContaining("The job has ended: it is succeeded."),
      ]);
    expect((await refusal(room.set(id, { case: "speed", value: { itemsPerSecond: 5 } })))[0]).toBe(
      Code.FailedPrecondition,
    );
    expect(await room.history(id)).toEqual(before);
    expect(before.at(-1)?.record?.attempts.at(-1)?.end?.outcome).toBe(EndOutcome.SUCCEEDED);
    expect(await room.journal(id)).toEqual(["1 succeeded"]);
  },
);

test(
  "pause, resume, pause, resume, pause at once ends paused, pauses once, and what had no time shows as superseded",
  { timeout: 60_000 },
  async () => {
    const id = await running("slow", { item_ms: 2_000 });
    const begin = Date.now();
    const generations: bigint[] = [];
    for (const lever of [pause, resume, pause, resume, pause]) generations.push(await room.set(id, lever));
    const tookMs = Date.now() - begin;
    await room.state(id, JobState.PAUSED);
    const items = (await room.journal(id)).length;
    const history = await room.history(id);
    const { QUEUED, RUNNING, PAUSED } = JobState;
    expect(statesOf(history)).toEqual([QUEUED, RUNNING, PAUSED]);
    const outcomes = new Map<bigint, Receipt>();
    for (const { record } of history) for (const each of record?.receipts ?? []) outcomes.set(each.generation, each);
    const all = generations.map((each) => outcomes.get(each));
    const last = generations.at(-1);
    expect([ReceiptState.APPLIED, ReceiptState.PROVED]).toContain(all[4]?.state);
    // A job that runs goes on at once; a pause needs a safe point, and none came.
    for (const first of [all[0], all[2]]) {
      expect(first?.state).toBe(ReceiptState.SUPERSEDED);
      expect(first?.supersededBy).toBeGreaterThan(first?.generation ?? 0n);
      expect(first?.supersededBy).toBeLessThanOrEqual(last ?? 0n);
    }
    for (const between of [all[1], all[3]])
      expect([ReceiptState.APPLIED, ReceiptState.SUPERSEDED]).toContain(between?.state);
    await expect.poll(() => room.receipt(id, last ?? 0n), long).toMatchObject({ state: ReceiptState.PROVED });
    expect(await room.journal(id)).toHaveLength(items);
    expect(tookMs).toBeLessThan(2_000);
    await room.set(id, cancel);
    await room.state(id, JobState.CANCELED);
  },
);

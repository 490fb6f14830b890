import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { CommandSchema, JobState, ReceiptState, RunMode, type JobRecord, type Receipt } from "@signalbox/protocol";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { isOpen } from "@signalbox/protocol/job-state";
import { FaultProxy } from "../../../../e2e/faults/proxy.ts";
import { TestRoom } from "../testing/open-test-room.ts";
import { RealRoom } from "../testing/real-room.ts";

// A command is taken back while it is on its way: what is told of it is what became of it, in every order of events.

const cancel = { case: "run", value: { mode: RunMode.CANCEL, graceMs: 2_000 } } as const;
const pause = { case: "run", value: { mode: RunMode.PAUSE } } as const;
const long = { timeout: 60_000 };

let room: RealRoom;
let link: FaultProxy;
beforeAll(async () => {
  room = await RealRoom.open();
  await room.start();
  link = await FaultProxy.open(room.workerPort);
  await room.worker("w1", { program: "journal-worker", env: { SIGNALBOX_URL: `http://127.0.0.1:${link.port}` } });
}, 60_000);
afterEach(() => link.set({ mode: "pass" }));
afterAll(async () => {
  link.close();
  await room[Symbol.asyncDispose]();
});

/** Starts a job that counts, and resolves when it does. */
async function counting(): Promise<string> {
  const id = await room.startJob("ticks");
  await room.state(id, JobState.RUNNING);
  await counts(id);
  return id;
}

const ticks = async (id: string) => (await room.journal(id)).filter((line) => line.includes("tick")).length;
async function counts(id: string): Promise<void> {
  const before = await ticks(id);
  await expect.poll(() => ticks(id), long).toBeGreaterThan(before + 20);
}

async function takeBack(jobId: string, generation: bigint): Promise<JobRecord> {
  const command = create(CommandSchema, { action: { case: "withdrawGeneration", value: generation } });
  const { job } = await room.jobs.sendCommand({ requestId: randomUUID(), jobId, command });
  if (!job) throw new Error("no job");
  return job;
}

const receiptIn = ({ receipts }: JobRecord, generation: bigint): Receipt | undefined =>
  receipts.find((each) => each.generation === generation);

/** All that was ever told of a command, in order. */
async function told(id: string, generation: bigint): Promise<ReceiptState[]> {
  const states = (await room.history(id)).flatMap(
    ({ record }) => (record && receiptIn(record, generation)?.state) ?? [],
  );
  return states.filter((state, i) => state !== states[i - 1]);
}

/** What is wanted of the run lever. */
function wanted({ spec }: JobRecord): RunMode | undefined {
  const run = spec?.levers.find(({ value }) => value?.value.case === "run")?.value?.value;
  return run?.case === "run" ? run.value.mode : undefined;
}

test(
  "a cancel that its worker carries out, unheard, is not told as taken back: the job ends by it, and the receipt says so",
  { timeout: 90_000 },
  async () => {
    const id = await counting();
    await link.set({ mode: "one-way", lost: "to-server" });
    const generation = await room.set(id, cancel);
    await expect.poll(async () => (await room.journal(id)).at(-1), long).toBe("1 ends");
    const after = await takeBack(id, generation);
    expect(receiptIn(after, generation)).toMatchObject({ state: ReceiptState.ACCEPTED, supersededBy: generation + 1n });
    expect(wanted(after)).toBe(RunMode.RUN);
    // It is taken back once.
    await expect(takeBack(id, generation)).rejects.toThrow(/is taken back already/);
    await link.set({ mode: "pass" });
    await room.state(id, JobState.CANCELED);
    expect(await told(id, generation)).not.toContain(ReceiptState.WITHDRAWN);
    expect((await told(id, generation)).at(-1)).toBeOneOf([ReceiptState.APPLIED, ReceiptState.PROVED]);
  },
);

test(
  "a pause that was sent and taken back on its way is open until the worker answers, and the job goes on",
  { timeout: 90_000 },
  async () => {
    const id = await counting();
    await link.set({ mode: "stall" });
    const generation = await room.set(id, pause);
    const after = await takeBack(id, generation);
    expect(receiptIn(after, generation)?.state).toBe(ReceiptState.ACCEPTED);
    await link.set({ mode: "pass" });
    await expect
      .poll(async () => (await told(id, generation)).at(-1), long)
      .toBeOneOf([ReceiptState.APPLIED, ReceiptState.PROVED, ReceiptState.SUPERSEDED]);
    await room.state(id, JobState.RUNNING);
    await counts(id);
    await room.cancel(id);
    await room.state(id, JobState.CANCELED);
  },
);

test(
  "commands that were lost with the link are told as taken back and expired when the worker is back, and were never carried out",
  { timeout: 90_000 },
  async () => {
    const id = await counting();
    await link.set({ mode: "half-open" });
    const speed = { case: "speed", value: { itemsPerSecond: 3 } } as const;
    const late = await room.set(id, speed, { deliverWithinMs: 1n });
    const generation = await room.set(id, cancel);
    expect(receiptIn(await takeBack(id, generation), generation)?.state).toBe(ReceiptState.ACCEPTED);
    await expect.poll(async () => (await room.receipt(id, late))?.supersededBy, long).not.toBe(0n);
    await link.set({ mode: "reset" });
    await link.set({ mode: "pass" });
    await expect.poll(async () => (await told(id, generation)).at(-1), long).toBe(ReceiptState.WITHDRAWN);
    await expect.poll(async () => (await told(id, late)).at(-1), long).toBe(ReceiptState.EXPIRED);
    await room.state(id, JobState.RUNNING);
    await counts(id);
    expect(await told(id, generation)).toEqual([ReceiptState.ACCEPTED, ReceiptState.WITHDRAWN]);
    expect(await told(id, late)).toEqual([ReceiptState.ACCEPTED, ReceiptState.EXPIRED]);
    const { levers } = (await room.state(id, JobState.RUNNING)).attempts[0] ?? { levers: [] };
    expect(levers.map((each) => each.generation)).not.toContain(late);
    await room.cancel(id);
    await room.state(id, JobState.CANCELED);
  },
);

test(
  "a cancel that no worker can have is told as taken back at once, and never arrives",
  { timeout: 90_000 },
  async () => {
    const id = await counting();
    await link.set({ mode: "reset" });
    const connected = async () => (await room.jobs.listWorkers({})).vitals[0]?.connected;
    await expect.poll(connected, long).toBe(false);
    const generation = await room.set(id, cancel);
    expect(receiptIn(await takeBack(id, generation), generation)?.state).toBe(ReceiptState.WITHDRAWN);
    await link.set({ mode: "pass" });
    await expect.poll(connected, long).toBe(true);
    await counts(id);
    expect(await told(id, generation)).toEqual([ReceiptState.ACCEPTED, ReceiptState.WITHDRAWN]);
    await room.cancel(id);
    await room.state(id, JobState.CANCELED);
  },
);

test(
  "a command that is taken back at the moment at which its worker connects is sent, or told as taken back, and never both",
  { timeout: 90_000 },
  async () => {
    await using test = await TestRoom.open();
    const first = await test.connect();
    const { jobId, spec } = await test.startRunning(first);
    let received = spec?.generation ?? 0n;
    await first.kill();
    const told = new Map<ReceiptState | undefined, number>();
    const yields = async (turns: number) => {
      for (let turn = 0; turn < turns; turn++) await setImmediate();
    };
    // Whoever was too late begins sooner the next time: by more and more until the other is late, so that the two come as close together
    // as they can, whatever the disk takes.
    let lead = 0;
    let step = 1;
    let hadLast: boolean | undefined;
    for (let i = 0; i < 40; i++) {
      const { generation } = await test.set(jobId, { case: "speed", value: { itemsPerSecond: i + 1 } });
      const command = create(CommandSchema, { action: { case: "withdrawGeneration", value: generation } });
      const connecting = yields(Math.max(0, -lead)).then(() =>
        test.connect({
          incarnation: first.incarnation,
          attempts: [{ jobId, attempt: 1, started: true, receivedGeneration: received }],
        }),
      );
      const withdrawing = yields(Math.max(0, lead)).then(() =>
        test.domain.jobs.sendCommand({ requestId: test.nextId(), jobId, command }),
      );
      const [worker, { job }] = await Promise.all([connecting, withdrawing]);
      const heard = await worker.heard("spec", (each) => (each.spec?.generation ?? 0n) > generation);
      const settings = worker.received.flatMap(({ message }) =>
        message.case === "spec" ? (message.value.spec?.levers ?? []) : [],
      );
      const had = settings.some((setting) => setting.generation === generation);
      const state = job && receiptIn(job, generation)?.state;
      if (state === ReceiptState.WITHDRAWN) expect(had).toBe(false);
      const key = had ? ReceiptState.DELIVERED : state;
      told.set(key, (told.get(key) ?? 0) + 1);
      step = had === hadLast ? step * 2 : 1;
      hadLast = had;
      lead += had ? -step : step;
      received = heard.spec?.generation ?? 0n;
      worker.report(heard);
      await expect
        .poll(async () =>
          (await test.get(jobId)).receipts.some((each) => each.generation === generation && isOpen(each)),
        )
        .toBe(false);
      await worker.kill();
    }
    // Both came to pass, or this shows nothing.
    expect([told.get(ReceiptState.WITHDRAWN), told.get(ReceiptState.DELIVERED)]).toEqual([
      expect.any(Number),
      expect.any(Number),
    ]);
  },
);

import { fromBinary } from "@bufbuild/protobuf";
import {
  ActorKind,
  EndOutcome,
  JobEntrySchema,
  JobState,
  ReceiptState,
  type AttemptSpec,
  type JobEntry,
  type Receipt,
} from "@signalbox/protocol";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cancel, goOn, pause, TestRoom } from "../testing/open-test-room.ts";
import type { TestWorker } from "../testing/test-worker.ts";
import { Jobs } from "./jobs.ts";
import { jobTopic } from "./job.ts";
import { Proofs } from "./proofs.ts";

let room: TestRoom;
beforeEach(async () => {
  room = await TestRoom.open();
});
afterEach(() => room[Symbol.asyncDispose]());

/** Moves a lever, and has the worker say that it is in effect. */
async function apply(worker: TestWorker, jobId: string, lever: Parameters<TestRoom["set"]>[1]): Promise<AttemptSpec> {
  const { generation } = await room.set(jobId, lever);
  const spec = await worker.heard("spec", (each) => each.jobId === jobId && each.spec?.generation === generation);
  worker.report(spec);
  await expect.poll(async () => (await receipt(jobId, generation))?.state).toBe(ReceiptState.APPLIED);
  return spec;
}

async function receipt(jobId: string, generation: bigint): Promise<Receipt | undefined> {
  return (await room.get(jobId)).receipts.find((each) => each.generation === generation);
}

/** The worker says that its counter stands there, now. */
async function measure(worker: TestWorker, { jobId, attempt }: AttemptSpec, items: number): Promise<void> {
  const atUs = BigInt(Date.now() * 1000);
  worker.say({
    case: "vitals",
    value: {
      $typeName: "signalbox.v1.VitalsReport",
      attempts: [vitals(jobId, attempt, items, atUs)],
    },
  });
  const heard = async () => (await room.domain.jobs.getJob({ jobId })).vitals;
  await expect.poll(async () => (await heard())?.itemsDone).toBe(BigInt(items));
  await expect.poll(async () => Number((await heard())?.asOfUs)).toBeGreaterThanOrEqual(Number(atUs) - 1000);
}

function vitals(jobId: string, attempt: number, items: number, atUs: bigint) {
  const none = { bytesDone: 0n, itemsPerSecond: 0, phase: "", stalledBy: "", redactions: 0n };
  return { $typeName: "signalbox.v1.AttemptVitals" as const, jobId, attempt, itemsDone: BigInt(items), atUs, ...none };
}

async function entries(jobId: string): Promise<JobEntry[]> {
  return (await room.domain.store.journal.read(jobTopic(jobId), 0)).map(({ data }) => fromBinary(JobEntrySchema, data));
}

const proofsOf = async (jobId: string) => (await entries(jobId)).filter(({ cause }) => cause.case === "proof");

test("a pause is proved by one entry when its counter has stood for a second, and a resume when it moves", async () => {
  const worker = await room.connect();
  const { jobId } = await room.startRunning(worker);
  const paused = await apply(worker, jobId, pause);
  const generation = paused.spec?.generation ?? 0n;
  await expect
    .poll(
      async () => {
        await measure(worker, paused, 1204);
        return receipt(jobId, generation);
      },
      { interval: 200 },
    )
    .toMatchObject({ state: ReceiptState.PROVED, proof: "the counter stands at 1,204" });
  const proved = await receipt(jobId, generation);
  expect(Number(proved?.provedAtUs)).toBeGreaterThan(Number(proved?.decidedAtUs) + 1_000_000);
  expect(await proofsOf(jobId)).toMatchObject([
    {
      actor: { kind: ActorKind.SERVER },
      cause: { value: { generation, measure: "the counter stands at 1,204" } },
      record: { state: JobState.PAUSED },
    },
  ]);
  await measure(worker, paused, 1204);
  const resumed = await apply(worker, jobId, goOn);
  await measure(worker, resumed, 1204);
  await measure(worker, resumed, 1206);
  await expect
    .poll(() => receipt(jobId, resumed.spec?.generation ?? 0n))
    .toMatchObject({ state: ReceiptState.PROVED, proof: "the counter moved to 1,206" });
  expect(await proofsOf(jobId)).toHaveLength(2);
});

test("a pause that somebody has lifted is not proved any more", async () => {
  const worker = await room.connect();
  const { jobId } = await room.startRunning(worker);
  const paused = await apply(worker, jobId, pause);
  await measure(worker, paused, 5);
  const { generation } = await room.set(jobId, goOn);
  const until = Date.now() + 1_500;
  await expect
    .poll(async () => {
      await measure(worker, paused, 5);
      return Date.now() > until;
    })
    .toBe(true);
  expect((await receipt(jobId, paused.spec?.generation ?? 0n))?.state).toBe(ReceiptState.APPLIED);
  expect((await receipt(jobId, generation))?.state).toBe(ReceiptState.ACCEPTED);
  expect(await proofsOf(jobId)).toEqual([]);
});

test("a cancel is proved by its worker's word that the attempt has ended, and the end stays as it was", async () => {
  const worker = await room.connect();
  const spec = await room.startRunning(worker);
  const { jobId, attempt } = spec;
  const push = worker.push(jobId, attempt);
  push.lines(["one", "two"]);
  await push.acknowledged(3);
  const { generation } = await room.set(jobId, cancel);
  const asked = await worker.heard("spec", (each) => each.spec?.generation === generation);
  worker.report(asked, { levers: [], end: { outcome: EndOutcome.CANCELED, endLine: 3n, atUs: 7n } });
  await expect
    .poll(() => receipt(jobId, generation))
    .toMatchObject({ state: ReceiptState.PROVED, proof: "it ended after line 2", atLine: 3n });
  const [ended, proved] = (await entries(jobId)).slice(-2);
  expect(proved?.cause.case).toBe("proof");
  expect(ended?.record?.receipts.at(-1)?.state).toBe(ReceiptState.APPLIED);
  expect(proved?.record).toMatchObject({
    state: JobState.CANCELED,
    endedAtUs: ended?.record?.endedAtUs,
    attempts: ended?.record?.attempts,
  });
});

test("a cancel is not proved by a worker that has given its job up: the job may still run", async () => {
  const worker = await room.connect();
  const { jobId } = await room.startRunning(worker);
  const { generation } = await room.set(jobId, cancel);
  const asked = await worker.heard("spec", (each) => each.spec?.generation === generation);
  worker.report(asked, {
    levers: [],
    end: { outcome: EndOutcome.CANCELED, endLine: 1n, atUs: 7n, reason: "given up", mayStillRun: true },
  });
  await expect.poll(async () => (await room.get(jobId)).state).toBe(JobState.CANCELED);
  expect((await room.get(jobId)).attempts.at(-1)?.end).toMatchObject({ reason: "given up", mayStillRun: true });
  expect(await proofsOf(jobId)).toEqual([]);
  expect((await receipt(jobId, generation))?.state).toBe(ReceiptState.APPLIED);
});

test("a job that was canceled before anybody had it has no proof", async () => {
  await room.startRunning(await room.connect({ slots: 1 }));
  const { id } = await room.start();
  const { generation } = await room.set(id, cancel);
  expect((await receipt(id, generation))?.state).toBe(ReceiptState.APPLIED);
  expect(await proofsOf(id)).toEqual([]);
});

test("what is looked for ends with its time, costs nothing then, and goes on over a restart before that", async () => {
  const worker = await room.connect();
  const { jobId } = await room.startRunning(worker);
  const spec = await apply(worker, jobId, { case: "speed", value: { itemsPerSecond: 5 } });
  const { store } = room.domain;
  const logger = pino({ level: "silent" });
  const open = async (clock: () => number) => {
    const jobs = await Jobs.open(store, logger, clock);
    return new Proofs(jobs, clock, logger);
  };
  const decidedAt = Number((await receipt(jobId, spec.spec?.generation ?? 0n))?.decidedAtUs);
  const soon = await open(() => decidedAt + 59_000_000);
  expect(soon.size).toBe(1);
  soon.expire(decidedAt + 59_999_999);
  expect(soon.size).toBe(1);
  soon.expire(decidedAt + 60_000_000);
  expect(soon.size).toBe(0);
  expect((await open(() => decidedAt + 60_000_000)).size).toBe(0);
});

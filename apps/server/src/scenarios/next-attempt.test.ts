import { ChunkLines, JobState, Level, LeverOutcome, ReceiptState } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TestRoom } from "../testing/open-test-room.ts";
import { WorkerPort } from "../testing/worker-port.ts";

const long = { timeout: 60_000 };
let room: TestRoom;
let port: WorkerPort;

beforeEach(async () => {
  room = await TestRoom.open();
  port = await WorkerPort.open(room);
});
afterEach(async () => {
  await port[Symbol.asyncDispose]();
  await room[Symbol.asyncDispose]();
});

async function lines(jobId: string, attempt: number): Promise<string[]> {
  const { entries } = await room.domain.logs.readLogs({ jobId, attempt, fromLine: 1n });
  const blobs = entries.flatMap(({ entry }) => (entry.case === "chunk" ? [new ChunkLines(entry.value).blob()] : []));
  return Buffer.concat(blobs).toString().split("\n").slice(0, -1);
}

test(
  "levers whose worker dies before they are in effect stand pending, and hold on the next attempt before its first item",
  { timeout: 180_000 },
  async () => {
    const worker = await port.startWorker("w1", "holding-worker");
    const { id } = await room.start({ limit: 1 }, "held");
    await expect.poll(async () => (await lines(id, 1)).length, long).toBeGreaterThan(5);
    const { generation: parameters } = await room.set(id, { case: "parameters", value: { parameters: { limit: 7 } } });
    const states = async (...generations: bigint[]) => {
      const { receipts } = await room.get(id);
      return generations.map((each) => receipts.find(({ generation }) => generation === each)?.state);
    };
    await expect.poll(() => states(parameters), long).toEqual([ReceiptState.DELIVERED]);
    // From here on the process hears nothing.
    await worker.kill("SIGSTOP");
    const { generation: speed } = await room.set(id, { case: "speed", value: { itemsPerSecond: 4 } });
    const { generation: level } = await room.set(id, { case: "logLevel", value: { level: Level.INFO } });
    await worker.kill("SIGKILL");
    await expect.poll(() => room.domain.domain.workers.isConnected("w1"), long).toBe(false);
    room.letPass(16);
    await expect.poll(async () => (await room.get(id)).state, long).toBe(JobState.LOST);
    const { ACCEPTED, DELIVERED, APPLIED } = ReceiptState;
    expect(await states(parameters, speed, level)).toEqual([DELIVERED, ACCEPTED, ACCEPTED]);

    room.letPass(46);
    await port.startWorker("w2", "holding-worker");
    await room.domain.jobs.retryJob({ jobId: id, requestId: room.nextId() });
    await expect.poll(async () => (await lines(id, 2)).length, long).toBeGreaterThan(4);
    await expect.poll(() => states(parameters, speed, level), long).toEqual([APPLIED, APPLIED, APPLIED]);
    const [, next] = (await room.get(id)).attempts;
    expect(next?.levers.filter(({ generation }) => [parameters, speed, level].includes(generation))).toEqual(
      [0, 1, 2].map(() => expect.objectContaining({ outcome: LeverOutcome.APPLIED, atLine: 1n }) as unknown),
    );
    const [first, ...items] = await lines(id, 2);
    expect(first).toBe("begins with limit 7, without debug");
    expect(items.every((line) => / at \d+, limit 7$/.test(line))).toBe(true);
    const times = items.map((line) => Number(/ at (\d+),/.exec(line)?.[1]));
    for (const [i, at] of times.slice(1).entries()) expect(at - (times[i] ?? 0)).toBeGreaterThan(220);
    // The attempt before had none of it.
    expect((await lines(id, 1)).some((line) => line.includes("limit 7"))).toBe(false);
  },
);

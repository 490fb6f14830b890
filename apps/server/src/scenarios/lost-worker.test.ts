import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { JobState, ReceiptState, RunMode } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { wantedRun } from "../jobs/levers.ts";
import { goOn, pause, TestRoom } from "../testing/open-test-room.ts";
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

async function journal(jobId: string): Promise<string[]> {
  const text = await readFile(join(port.folder, "journal.txt"), "utf8").catch(() => "");
  return text.split("\n").flatMap((line) => (line.startsWith(`${jobId} `) ? [line.slice(jobId.length + 1)] : []));
}

test.each(["a retry by hand", "the job's own policy"])(
  "a pause whose worker dies between delivered and applied stands pending, and holds over the loss and %s before another item is begun",
  { timeout: 180_000 },
  async (how) => {
    const worker = await port.startWorker("w1", "journal-worker");
    const policy = how === "a retry by hand" ? {} : { retry: { mostAttempts: 2, whenLost: true } };
    const request = { requestId: room.nextId(), type: "slow", parameters: { item_ms: 600_000 }, ...policy };
    const { job } = await room.domain.jobs.startJob(request);
    const id = job?.id ?? "";
    await expect.poll(() => journal(id), long).toEqual(["1 begins", "1 item 1"]);
    const { generation } = await room.set(id, pause);
    const receipt = async () => (await room.get(id)).receipts.find((each) => each.generation === generation);
    await expect.poll(async () => (await receipt())?.state, long).toBe(ReceiptState.DELIVERED);
    await worker.kill("SIGKILL");
    await expect.poll(() => room.domain.domain.workers.isConnected("w1"), long).toBe(false);

    room.letPass(16);
    await expect.poll(async () => (await room.get(id)).state, long).toBe(JobState.LOST);
    // Nobody says that it is paused, and nobody has forgotten that it shall be.
    expect(await receipt()).toMatchObject({ state: ReceiptState.DELIVERED, decidedAtUs: 0n });
    expect(wantedRun((await room.get(id)).spec)).toBe(RunMode.PAUSE);
    room.letPass(46);
    await port.startWorker("w2", "journal-worker");
    if (how === "a retry by hand") await room.domain.jobs.retryJob({ jobId: id, requestId: room.nextId() });
    await expect.poll(async () => (await room.get(id)).state, long).toBe(JobState.QUEUED);

    // A job that waits stands: that is what was asked for, and there is no attempt that could go on.
    await expect.poll(async () => (await receipt())?.state, long).toBe(ReceiptState.APPLIED);
    expect(wantedRun((await room.get(id)).spec)).toBe(RunMode.PAUSE);
    expect((await room.get(id)).attempts).toHaveLength(1);
    // Other jobs go to the worker that is free; this one does not.
    const other = await room.start({ ms: 0 }, "race");
    await expect.poll(async () => (await room.get(other.id)).state, long).toBe(JobState.SUCCEEDED);
    expect(await journal(id)).toEqual(["1 begins", "1 item 1"]);

    await room.set(id, goOn);
    await expect.poll(() => journal(id), long).toEqual(["1 begins", "1 item 1", "2 begins", "2 item 1"]);
    expect((await room.get(id)).attempts.map(({ workerId }) => workerId)).toEqual(["w1", "w2"]);
  },
);

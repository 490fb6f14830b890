import { JobState, Level, LeverOutcome, ReceiptState, RunMode, type Receipt } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FaultProxy } from "../../../../e2e/faults/proxy.ts";
import { RealRoom } from "../testing/real-room.ts";

// Commands while the worker's link is cut or the server is gone.

const pause = { case: "run", value: { mode: RunMode.PAUSE } } as const;
const cancel = { case: "run", value: { mode: RunMode.CANCEL, graceMs: 2_000 } } as const;
const long = { timeout: 60_000 };

let room: RealRoom;
let link: FaultProxy;
beforeEach(async () => {
  room = await RealRoom.open();
  await room.start();
  link = await FaultProxy.open(room.workerPort);
}, 60_000);
afterEach(async () => {
  link.close();
  await room[Symbol.asyncDispose]();
});

/** Starts a job that counts, on a worker behind the link. */
async function counting(): Promise<string> {
  await room.worker("w1", { program: "journal-worker", env: { SIGNALBOX_URL: `http://127.0.0.1:${link.port}` } });
  const id = await room.startJob("ticks");
  await room.state(id, JobState.RUNNING);
  await ticksAfter(id, 20);
  return id;
}

const ticks = async (id: string) => (await room.journal(id)).filter((line) => line.includes("tick")).length;
/** Resolves when the job has counted so many more. */
async function ticksAfter(id: string, more: number): Promise<void> {
  const before = await ticks(id);
  await expect.poll(() => ticks(id), long).toBeGreaterThan(before + more);
}

const isApplied = (receipt: Receipt | undefined) =>
  receipt?.state === ReceiptState.APPLIED || receipt?.state === ReceiptState.PROVED;

/** How often a worker said in a job's history that a lever of that generation is in effect. */
async function applications(id: string, generation: bigint): Promise<number> {
  const history = await room.history(id);
  return history.filter(({ cause }, i) => {
    if (cause.case !== "report") return false;
    const receipt = history[i]?.record?.receipts.find((each) => each.generation === generation);
    const before = history[i - 1]?.record?.receipts.find((each) => each.generation === generation);
    return isApplied(receipt) && !isApplied(before);
  }).length;
}

test(
  "a cancel while the worker's link is cut waits and says so, is delivered once when the link is back, and nothing is counted after it",
  { timeout: 120_000 },
  async () => {
    const id = await counting();
    await link.set({ mode: "reset" });
    const generation = await room.set(id, cancel);
    await ticksAfter(id, 50);
    // Whoever looks, and looks again, sees the same: asked for, not delivered, still running.
    for (const look of [1, 2]) {
      expect([look, (await room.receipt(id, generation))?.state]).toEqual([look, ReceiptState.ACCEPTED]);
      expect((await room.jobs.getJob({ jobId: id })).job?.state).toBe(JobState.RUNNING);
    }
    await link.set({ mode: "pass" });
    await room.state(id, JobState.CANCELED);
    await expect.poll(() => room.receipt(id, generation), long).toMatchObject({ state: ReceiptState.PROVED });
    expect(await applications(id, generation)).toBe(1);
    expect((await room.journal(id)).at(-1)).toBe("1 ends");
  },
);

test(
  "a command that the server took and was killed before it could deliver is delivered once by the next one; one with a deadline expires, and says so",
  { timeout: 120_000 },
  async () => {
    const id = await counting();
    await link.set({ mode: "reset" });
    const speed = await room.set(id, { case: "speed", value: { itemsPerSecond: 7 } }, { deliverWithinMs: 200n });
    const paused = await room.set(id, pause);
    await room.server.kill("SIGKILL");
    await ticksAfter(id, 20);
    await room.start();
    // Its time is over, and the lever is back. Whether the server that was killed had sent it, its worker alone can say.
    await expect
      .poll(() => room.receipt(id, speed), long)
      .toMatchObject({
        state: ReceiptState.ACCEPTED,
        supersededBy: expect.toSatisfy((by: bigint) => by > speed) as bigint,
      });
    expect((await room.receipt(id, paused))?.state).toBe(ReceiptState.ACCEPTED);
    expect((await room.jobs.getJob({ jobId: id })).job?.state).toBe(JobState.RUNNING);
    await link.set({ mode: "pass" });
    await room.state(id, JobState.PAUSED);
    expect(await room.receipt(id, speed)).toMatchObject({ state: ReceiptState.EXPIRED, supersededBy: 0n });
    expect(await applications(id, paused)).toBe(1);
    expect(await applications(id, speed)).toBe(0);
    // The default speed is what the worker has, not the one that came too late.
    const { job } = await room.jobs.getJob({ jobId: id });
    const inEffect = job?.attempts.at(-1)?.levers.find(({ value }) => value?.value.case === "speed");
    expect(inEffect?.value?.value.value).toMatchObject({ itemsPerSecond: 100 });
  },
);

test("DEBUG for a while ends on time with nobody watching and the server gone", { timeout: 120_000 }, async () => {
  const id = await counting();
  const info = { case: "logLevel", value: { level: Level.INFO } } as const;
  await room.set(id, info);
  const forMs = 3_000;
  const debug = await room.set(
    id,
    { case: "logLevel", value: { level: Level.DEBUG } },
    { hold: { durationMs: BigInt(forMs), then: { value: info } } },
  );
  await expect
    .poll(async () => (await room.receipt(id, debug))?.state ?? 0, long)
    .toBeGreaterThanOrEqual(ReceiptState.APPLIED);
  const applied = await room.receipt(id, debug);
  await room.server.kill("SIGKILL");
  const killedAt = Date.now();
  await expect.poll(() => Date.now() - killedAt, long).toBeGreaterThan(forMs + 1_000);
  await ticksAfter(id, 50);
  await room.start();
  // The worker's own word on it, whether the server's clock was faster or not.
  const reverted = async () => {
    const words = (await room.history(id)).flatMap(({ record }) => record?.attempts.at(-1)?.levers ?? []);
    return words.find(({ generation, outcome }) => generation === debug && outcome === LeverOutcome.REVERTED);
  };
  await expect.poll(reverted, long).toMatchObject({ value: { value: { value: { level: Level.INFO } } } });
  const word = await reverted();
  const heldMs = Number((word?.atUs ?? 0n) - (applied?.decidedAtUs ?? 0n)) / 1000;
  expect(heldMs).toBeGreaterThan(forMs - 1_000);
  expect(heldMs).toBeLessThan(forMs + 3_000);
  // What it printed: DEBUG from the one marker to the other, and not before or after.
  await ticksAfter(id, 20);
  await room.set(id, cancel);
  await room.state(id, JobState.CANCELED);
  const lines = (await room.text(id)).toString().split("\n");
  const details = lines.flatMap((line, i) => (line.includes("in detail") ? [i + 1] : []));
  const [from, to] = [Number(applied?.atLine), Number(word?.atLine)];
  expect(details.filter((line) => line >= from && line < to).length).toBeGreaterThan(50);
  expect(details.filter((line) => line >= to)).toEqual([]);
  expect(lines.length).toBeGreaterThan(to);
});

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { BulkOutcome, BulkState, JobState, RunMode, type BulkRecord } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { RealRoom } from "../testing/real-room.ts";

const count = 200;

test(
  "a server that is killed again and again gives each job its command once, and what is held keeps its hold",
  { timeout: 180_000 },
  async () => {
    await using room = await RealRoom.open();
    await room.start();
    const worker = await room.worker("w1");
    // Jobs whose worker has gone wait; its types stay known.
    const spare = await room.lines(1, RunMode.PAUSE);
    await worker.kill("SIGKILL");
    const start = async () =>
      (await room.jobs.startJob({ requestId: randomUUID(), type: "lines", parameters: { per_second: 1 } })).job?.id ??
      "";
    const ids = await Promise.all(Array.from({ length: count }, start));
    const request = (jobs: string[], mode: RunMode, holdMs: number) => ({
      requestId: randomUUID(),
      selection: { jobs: { case: "ids" as const, value: { ids: jobs } } },
      command: {
        action: { case: "set" as const, value: { value: { case: "run" as const, value: { mode } } } },
      },
      ...{ holdMs, perSecond: 40 },
    });
    const held = (await room.bulks.startBulk(request([spare], RunMode.CANCEL, 60_000))).bulk;
    const pausing = request(ids, RunMode.PAUSE, 1_000);
    const { bulk } = await room.bulks.startBulk(pausing);
    const bulkId = bulk?.id ?? "";
    const get = async (id: string): Promise<BulkRecord | undefined> => (await room.bulks.getBulk({ bulkId: id })).bulk;

    // Once while it is held, then wherever it is.
    const doneAtKill: number[] = [];
    for (const wait of [0, 1_500, 700]) {
      await sleep(wait + Math.random() * 300);
      doneAtKill.push((await get(bulkId))?.accepted ?? -1);
      await room.server.kill("SIGKILL");
      await room.start();
    }
    // It was killed in the middle, or this test shows nothing.
    expect(doneAtKill.some((done) => done > 0 && done < count)).toBe(true);

    await expect.poll(async () => (await get(bulkId))?.state, { timeout: 60_000 }).toBe(BulkState.DONE);
    const done = await get(bulkId);
    expect(done).toMatchObject({ accepted: count, skipped: 0, refused: 0, jobsTotal: count });
    expect(new Set(done?.results.map(({ jobId }) => jobId))).toEqual(new Set(ids));
    for (const result of done?.results ?? []) {
      expect(result.outcome).toBe(BulkOutcome.ACCEPTED);
      const { job } = await room.jobs.getJob({ jobId: result.jobId });
      // Its start took two generations; one command has come since.
      expect([result.jobId, job?.spec?.generation, job?.state]).toEqual([
        result.jobId,
        result.generation,
        JobState.QUEUED,
      ]);
      expect(job?.receipts.map(({ requestId, bulkId: of }) => [requestId, of])).toEqual([
        [`${bulkId}/${result.jobId}`, bulkId],
      ]);
    }
    // The caller that never heard an answer asks again and begins nothing new.
    expect((await room.bulks.startBulk(pausing)).bulk?.state).toBe(BulkState.DONE);

    expect(await get(held?.id ?? "")).toMatchObject({ state: BulkState.HELD, heldUntilUs: held?.heldUntilUs });
    await room.bulks.undoBulk({ bulkId: held?.id ?? "" });
    expect((await room.jobs.getJob({ jobId: spare })).job?.state).toBe(JobState.QUEUED);
  },
);

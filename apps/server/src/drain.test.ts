import { existsSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { JobState } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { TestRoom } from "./testing/open-test-room.ts";
import { integrityOf } from "./store/testing.ts";
import { RealRoom } from "./testing/real-room.ts";

test(
  "a server that is stopped and started again and again under load loses and doubles no line, loses no job, and leaves no write-ahead log",
  { timeout: 300_000 },
  async () => {
    await using room = await RealRoom.open();
    await room.start();
    const workers = ["w1", "w2", "w3"];
    for (const id of workers) await room.worker(id);
    const jobs = await Promise.all(workers.map(() => room.lines(2_000)));
    for (let round = 0; round < 2; round++) {
      const before = await Promise.all(jobs.map((id) => room.stored(id)));
      for (const [i, id] of jobs.entries())
        await expect.poll(() => room.stored(id), { timeout: 60_000 }).toBeGreaterThan((before[i] ?? 0) + 2_000);
      const stoppedAt = performance.now();
      await room.server.kill("SIGTERM");
      expect([room.server.process.exitCode, room.server.process.signalCode]).toEqual([0, null]);
      expect(performance.now() - stoppedAt).toBeLessThan(10_000);
      for (const file of ["state.db", "logs.db"]) expect(existsSync(join(room.data, `${file}-wal`))).toBe(false);
      expect(integrityOf(room.data)).toEqual(["ok", "ok"]);
      await room.start();
    }
    for (const id of jobs) {
      await room.cancel(id);
      const { attempts } = await room.state(id, JobState.CANCELED);
      expect(attempts.map(({ number, lostAtUs }) => [number, lostAtUs])).toEqual([[1, 0n]]);
      expect(await room.expectWhole(id)).toBeGreaterThan(4_000 * 80);
    }
  },
);

test("what was received before the end is acknowledged, then the stream ends with UNAVAILABLE and no other one opens", async () => {
  await using room = await TestRoom.open();
  const worker = await room.connect();
  const { jobId } = await room.startRunning(worker);
  const push = worker.push(jobId, 1);
  push.lines(["one"]);
  await push.acknowledged(2);
  push.lines(["two", "three"]);
  await expect.poll(() => room.domain.domain.workers.ingest.counts.chunks).toBe(2);
  await room.domain.domain.flushLines();
  expect(ConnectError.from(await push.ended).code).toBe(Code.Unavailable);
  expect(push.acks.at(-1)?.nextLine).toBe(4n);
  const again = worker.push(jobId, 1);
  expect(ConnectError.from(await again.ended).code).toBe(Code.Unavailable);
});

import { readFileSync } from "node:fs";
import { JobState } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { runCommand } from "../../../scripts/programs.ts";
import { integrityOf } from "./store/testing.ts";
import { RealRoom } from "./testing/real-room.ts";

/** Makes a store with so many bytes of lines; `close` it in order, or `kill` whoever makes it. */
async function fill(folder: string, bytes: number, jobs: number, end: "close" | "kill"): Promise<void> {
  const program = ["apps/server/src/testing/fill-store.ts", folder, String(bytes), String(jobs), end];
  const filler = runCommand(process.execPath, program, {});
  await filler.printed(/filled/);
  if (end === "kill") await filler.kill("SIGKILL");
  else await expect.poll(() => filler.process.exitCode, { timeout: 30_000 }).toBe(0);
}

/** Bytes that the server has read until it is ready, its own modules included. */
async function bytesReadToStart(room: RealRoom): Promise<number> {
  const { process: server } = await room.start();
  return Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${server.pid}/io`, "utf8"))?.[1]);
}

test.skipIf(process.platform !== "linux")(
  "a start reads no log lines: as much with 100 MB of them as with none (needs Linux)",
  { timeout: 120_000 },
  async () => {
    await using few = await RealRoom.open();
    await using many = await RealRoom.open();
    await fill(few.data, 0, 10, "close");
    await fill(many.data, 100e6, 10, "close");
    const read = [await bytesReadToStart(few), await bytesReadToStart(many)];
    expect(Math.min(...read)).toBeGreaterThan(0);
    expect((read[1] ?? NaN) - (read[0] ?? NaN)).toBeLessThan(1e6);
  },
);

test(
  "a store that was killed in the middle of commits starts with every job of it, whole",
  { timeout: 120_000 },
  async () => {
    await using room = await RealRoom.open();
    for (let round = 0; round < 3; round++) {
      await fill(room.data, round === 0 ? 8e6 : 0, round === 0 ? 300 : 0, "kill");
      expect(integrityOf(room.data)).toEqual(["ok", "ok"]);
    }
    await room.start();
    const { jobs } = await room.jobs.listJobs({ pageSize: 1_000 });
    // Each was started and canceled, but for those that the kills cut off.
    expect(jobs.length).toBeGreaterThanOrEqual(300);
    expect(new Set(jobs.map(({ state }) => state))).toContain(JobState.CANCELED);
    expect(jobs.filter(({ state }) => state !== JobState.CANCELED).length).toBeLessThanOrEqual(3);
  },
);

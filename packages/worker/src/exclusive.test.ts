import { setTimeout as delay } from "node:timers/promises";
import { EndOutcome } from "@signalbox/protocol";
import { afterEach, describe, expect, test } from "vitest";
import { runProgram, type Program } from "../../../scripts/programs.ts";
import { defineJob, JobFenced } from "./index.ts";
import { gate, job, roomForTests } from "./room-for-tests.ts";

const room = roomForTests();
const leaseMs = 3000;
/** A process may take its time to start. */
const patientMs = 30_000;
const programs: Program[] = [];
afterEach(async () => {
  for (const program of programs.splice(0)) {
    program.process.kill("SIGCONT");
    await program.kill("SIGTERM");
  }
});

/** A worker process on a server whose leases are short. */
async function startProcess(): Promise<Program> {
  Object.assign(room.server.behaviour, { leaseMs, heartbeatMs: 200 });
  const program = runProgram("packages/worker/src/exclusive-worker-for-tests.ts", {
    SIGNALBOX_URL: room.server.url,
    SIGNALBOX_TOKEN: room.server.token,
  });
  programs.push(program);
  await room.server.until(() => room.server.isConnected, "the worker is connected", patientMs);
  return program;
}

const items = (program: Program, type: string) =>
  [...program.output().matchAll(new RegExp(`^${type} item at (\\d+)$`, "gm"))].map(([, at]) => Number(at));

const longestGap = (times: readonly number[]) => Math.max(...times.slice(1).map((at, i) => at - (times[i] ?? at)));

describe("an exclusive job", { timeout: 90_000 }, () => {
  test("begins no item after its worker stood still for longer than its lease, ends, and is queued again with all its lines; others go on", async () => {
    const program = await startProcess();
    const levers = [{ case: "speed" as const, value: { itemsPerSecond: 50 } }];
    const exclusive = room.server.assign("a", "exclusive", { levers });
    const common = room.server.assign("b", "common", { levers });
    await expect
      .poll(() => Math.min(items(program, "exclusive").length, items(program, "common").length), { timeout: patientMs })
      .toBeGreaterThan(5);
    await program.kill("SIGSTOP");
    // The clock is what is tested.
    await delay(leaseMs + 1000);
    await program.kill("SIGCONT");
    await program.printed(/exclusive ends: JobFenced/);
    expect(await room.ended(exclusive)).toBe(EndOutcome.RELEASED);
    expect(exclusive.report?.end?.reason).toMatch(/the server was not heard for \d+ s, and the job is exclusive/);
    expect(longestGap(items(program, "exclusive"))).toBeLessThan(leaseMs);
    expect(exclusive.text).toBe(
      items(program, "exclusive")
        .map((_, i) => `item ${i + 1}\n`)
        .join(""),
    );
    await expect.poll(() => longestGap(items(program, "common"))).toBeGreaterThan(leaseMs);
    expect(common.report?.end).toBeUndefined();
  });

  test("that is a program is ended with its children", async () => {
    const program = await startProcess();
    const command = ["sh", "-c", "echo $$; sleep 1000 & echo $!; wait"];
    const attempt = room.server.assign("a", "command", { parameters: { command } });
    await room.server.until(() => attempt.text.split("\n").length === 3, "the command has said who it is", patientMs);
    const pids = attempt.text.trim().split("\n").map(Number);
    expect(pids.map(isAlive)).toEqual([true, true]);
    room.server.behaviour.beats = false;
    await expect.poll(() => pids.map(isAlive), { timeout: patientMs }).toEqual([false, false]);
    room.server.behaviour.beats = true;
    expect(await room.ended(attempt)).toBe(EndOutcome.RELEASED);
    expect(program.process.exitCode).toBeNull();
  });

  test("begins no other item when one has blocked the process for longer than the lease", async () => {
    const { server, start } = room;
    Object.assign(server.behaviour, { leaseMs: 500, heartbeatMs: 100 });
    const begun: number[] = [];
    await start([
      job(
        async ({ paced }) => {
          for await (const item of paced([1, 2, 3])) {
            begun.push(item);
            if (item === 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700);
          }
        },
        { exclusive: true },
      ),
    ]);
    const attempt = server.assign("a", "test");
    expect(await room.ended(attempt)).toBe(EndOutcome.RELEASED);
    expect(begun).toEqual([1]);
  });

  test("goes on over a link that breaks for less than the lease", async () => {
    const { server, start } = room;
    Object.assign(server.behaviour, { leaseMs, heartbeatMs: 200 });
    const finish = gate();
    await start([job(({ log }) => finish.opened.then(() => log.info("done")), { exclusive: true })]);
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.report?.started === true, "the job runs");
    await server.restart();
    finish.open();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.text).toBe("done\n");
  });

  test("is told by its signal, too, if it never comes to a safe point, while the server is away", async () => {
    const { server, start } = room;
    Object.assign(server.behaviour, { leaseMs: 500, heartbeatMs: 100 });
    const reasons: unknown[] = [];
    await start([
      job(
        ({ signal }) =>
          new Promise((_, reject) =>
            signal.addEventListener("abort", () => {
              reasons.push(signal.reason);
              reject(signal.reason as Error);
            }),
          ),
        { exclusive: true },
      ),
    ]);
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.report?.started === true, "the job runs");
    await server.stop();
    await expect.poll(() => reasons).toEqual([expect.any(JobFenced)]);
    await server.start();
    expect(await room.ended(attempt)).toBe(EndOutcome.RELEASED);
  });

  test("cannot be one that only its worker can start", () => {
    const definition = { type: "a", exclusive: true, pinned: true, run: () => undefined };
    expect(() => defineJob(definition)).toThrow("it cannot be exclusive, too");
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

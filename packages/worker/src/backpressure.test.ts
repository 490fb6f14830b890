import { EndOutcome } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import type { JobLog } from "./index.ts";
import { gate, job, roomForTests } from "./room-for-tests.ts";

const room = roomForTests();
const megabyte = 1024 * 1024;

describe("a job that prints as fast as it can", () => {
  test.each(["hasRoom and ready", "ready"] as const)(
    "and looks at %s holds no more than the bound while the server is away, and loses nothing",
    async (how) => {
      const total = 8 * megabyte;
      const piece = Buffer.alloc(16 * 1024, "a line of this job\n");
      let written = 0;
      const stood = gate();
      await room.start(
        [
          job(async ({ log }) => {
            while (written < total) {
              log.write(piece, "stdout");
              written += piece.length;
              if (how === "ready" || !log.hasRoom) {
                if (!log.hasRoom) stood.open();
                await log.ready();
              }
            }
          }),
        ],
        { bufferBytes: 2 * megabyte },
      );
      const attempt = room.server.assign("a", "test");
      await room.server.until(() => attempt.nextLine > 1, "it prints");
      await room.server.stop();
      await stood.opened;
      // What the server has, what waits, and one write.
      const held = () => written - attempt.bytes.length;
      await expect.poll(held, { timeout: 10_000 }).toBeGreaterThan(1.2 * megabyte);
      expect(held()).toBeLessThan(2.2 * megabyte);
      const stoodAt = written;
      await room.server.start();
      await room.server.until(() => written > stoodAt, "it goes on");
      expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
      expect(attempt.bytes.length).toBe(written);
      expect(attempt.textOf("stdout").length).toBe(written);
    },
  );

  test("and awaits ready lets the process breathe", async () => {
    let turns = 0;
    await room.start([
      job(async ({ log }) => {
        let over = false;
        const tick = () => {
          turns++;
          if (!over) setImmediate(tick);
        };
        setImmediate(tick);
        const until = performance.now() + 200;
        while (performance.now() < until) await log.ready();
        over = true;
      }),
    ]);
    expect(await room.ended(room.server.assign("a", "test"))).toBe(EndOutcome.SUCCEEDED);
    expect(turns).toBeGreaterThan(5);
  });

  test("and is canceled may print with room in mind until its own handler has ended it", async () => {
    room.server.behaviour.autoAck = false;
    const aborted = gate();
    let written = 0;
    await room.start(
      [
        job(async ({ log, handle, signal }) => {
          handle({ cancel: () => aborted.open() });
          await aborted.opened;
          for (let i = 0; i < 4000; i++) {
            log.write("x".repeat(999) + "\n", "stdout");
            written += 1000;
            await log.ready();
          }
          signal.throwIfAborted();
        }),
      ],
      { bufferBytes: megabyte },
    );
    const attempt = room.server.assign("a", "test");
    await room.server.until(() => attempt.report?.started === true, "it runs");
    room.server.set(attempt, { case: "run", value: { mode: 3, graceMs: 10 } });
    await expect.poll(() => written, { timeout: 10_000 }).toBeGreaterThan(900_000);
    room.server.behaviour.autoAck = true;
    room.server.acknowledge();
    expect(await room.ended(attempt)).toBe(EndOutcome.CANCELED);
    expect(attempt.bytes.length).toBe(4_000_000);
  });
});

describe("the log level", () => {
  test("is a lever of every job, and the job can see what is sent", async () => {
    const go = gate();
    const seen: boolean[] = [];
    await room.start([
      job(async ({ log }) => {
        seen.push(log.isEnabled("trace"), log.isEnabled("debug"));
        await go.opened;
        seen.push(log.isEnabled("debug"), log.isEnabled("info"), log.isEnabled("fatal"));
      }),
    ]);
    const attempt = room.server.assign("a", "test");
    await room.server.until(() => seen.length === 2, "it runs");
    const generation = room.server.set(attempt, { case: "logLevel", value: { level: 3 } });
    await room.server.until(() => attempt.report?.levers.at(-1)?.generation === generation, "the level is applied");
    go.open();
    await room.ended(attempt);
    expect(seen).toEqual([true, true, false, true, true]);
  });

  test("that holds for some minutes goes back at their end although the server is away, and the server hears it", async () => {
    const finish = gate();
    let log: JobLog | undefined;
    await room.start([
      job(async (self) => {
        log = self.log;
        await finish.opened;
      }),
    ]);
    const attempt = room.server.assign("a", "test", { levers: [{ case: "logLevel", value: { level: 3 } }] });
    await room.server.until(() => attempt.report?.started === true, "it runs");
    log?.debug("hidden");
    const then = { case: "logLevel", value: { level: 3 } } as const;
    const generation = room.server.set(attempt, { case: "logLevel", value: { level: 2 } }, { durationMs: 1500n, then });
    await room.server.until(() => attempt.report?.levers.at(-1)?.generation === generation, "the level is applied");
    log?.debug("shown");
    await room.server.stop();
    await expect.poll(() => log?.isEnabled("debug"), { timeout: 10_000 }).toBe(false);
    log?.debug("hidden again");
    await room.server.start();
    await room.server.until(() => attempt.report?.levers.at(-1)?.outcome === 3, "the worker says that it is over");
    expect(attempt.report?.levers.at(-1)).toMatchObject({ generation, value: { value: then } });
    finish.open();
    await room.ended(attempt);
    expect(attempt.text).toBe("shown\n");
  });
});

import { EndOutcome, LeverOutcome, RunMode } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { defineJob, type Job, type JobHandlers } from "./index.ts";
import { jobTypeOf } from "./job-type.ts";
import { gate, job, leverOf, roomForTests, untilAborted } from "./room-for-tests.ts";

const room = roomForTests();
const pause = (bySystem: boolean) => ({ case: "run", value: { mode: RunMode.PAUSE, bySystem } }) as const;
const goOn = { case: "run", value: { mode: RunMode.RUN } } as const;
const cancel = { case: "run", value: { mode: RunMode.CANCEL, graceMs: 5000, reason: "enough" } } as const;

/** A job that is far from its next safe point until `near` opens, and what the system did to it. */
function farJob(more: Partial<JobHandlers> = {}) {
  const near = gate();
  const calls: string[] = [];
  const type = job(
    async (self) => {
      self.handle({ stop: () => void calls.push("stop"), go: () => void calls.push("go"), ...more });
      await Promise.race([near.opened, untilAborted(self.signal)]);
      await self.checkpoint();
      calls.push("safe point left");
      await self.checkpoint();
    },
    { systemStop: true },
  );
  return { near, calls, type };
}

async function running(type: ReturnType<typeof farJob>["type"]) {
  await room.start([type]);
  const attempt = room.server.assign("a", "test");
  await room.server.until(() => attempt.report?.started === true, "it runs");
  const applied = async (generation: bigint) => {
    await room.server.until(() => leverOf(attempt, "run")?.generation === generation, "there is an answer");
    return leverOf(attempt, "run");
  };
  return { attempt, applied };
}

describe("a job that the system can stop", () => {
  test("stands at once, far from its next safe point, and goes on when it is let go", async () => {
    const { near, calls, type } = farJob();
    const { attempt, applied } = await running(type);
    expect(await applied(room.server.set(attempt, pause(true)))).toMatchObject({
      outcome: LeverOutcome.APPLIED,
      value: { value: pause(true) },
    });
    expect(calls).toEqual(["stop"]);
    expect(await applied(room.server.set(attempt, goOn))).toMatchObject({ outcome: LeverOutcome.APPLIED });
    expect(calls).toEqual(["stop", "go"]);
    near.open();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  });

  test("waits for its safe point where nobody asked the system, and stands at once when somebody does", async () => {
    const { near, calls, type } = farJob();
    const { attempt, applied } = await running(type);
    const first = room.server.set(attempt, pause(false));
    await room.server.until(() => attempt.report?.receivedGeneration === first, "it is received");
    expect(leverOf(attempt, "run")?.generation).not.toBe(first);
    await applied(room.server.set(attempt, pause(true)));
    expect(calls).toEqual(["stop"]);
    near.open();
    await applied(room.server.set(attempt, goOn));
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(calls).toEqual(["stop", "go", "safe point left"]);
  });

  test("does not leave a safe point before it was let go", async () => {
    const letGo = gate();
    const calls: string[] = [];
    const { near, type } = farJob({
      stop: () => void calls.push("stop"),
      go: async () => {
        await letGo.opened;
        calls.push("go");
      },
    });
    const { attempt, applied } = await running(type);
    await applied(room.server.set(attempt, pause(true)));
    near.open();
    const generation = room.server.set(attempt, goOn);
    await room.server.until(() => attempt.report?.receivedGeneration === generation, "it is received");
    expect(attempt.report?.end).toBeUndefined();
    expect(leverOf(attempt, "run")?.generation).not.toBe(generation);
    letGo.open();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(calls).toEqual(["stop", "go"]);
  });

  test("says why the system could not stop it, and goes on", async () => {
    const { near, type } = farJob({
      stop() {
        throw new Error("another user's process");
      },
    });
    const { attempt, applied } = await running(type);
    expect(await applied(room.server.set(attempt, pause(true)))).toMatchObject({
      outcome: LeverOutcome.REJECTED,
      reason: "another user's process",
    });
    near.open();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  });

  test("is let go before it is told to end, since what is stopped could not obey", async () => {
    const order: string[] = [];
    const { type } = farJob({
      stop: () => undefined,
      go: () => void order.push("go"),
      cancel: () => void order.push("cancel"),
    });
    const { attempt, applied } = await running(type);
    await applied(room.server.set(attempt, pause(true)));
    room.server.set(attempt, cancel);
    expect(await room.ended(attempt)).toBe(EndOutcome.CANCELED);
    expect(order).toEqual(["go", "cancel"]);
  });

  test("is let go although the stop was still under way when it was canceled", async () => {
    const stopped = gate();
    const order: string[] = [];
    const ending = gate();
    await room.start([
      job(
        async (self) => {
          self.handle({
            stop: async () => {
              order.push("stop");
              await stopped.opened;
            },
            go: () => {
              order.push("go");
              ending.open();
            },
          });
          await ending.opened;
          throw self.signal.reason;
        },
        { systemStop: true },
      ),
    ]);
    const attempt = room.server.assign("a", "test");
    await room.server.until(() => attempt.report?.started === true, "it runs");
    room.server.set(attempt, pause(true));
    await expect.poll(() => order).toEqual(["stop"]);
    const generation = room.server.set(attempt, cancel);
    await room.server.until(() => attempt.report?.receivedGeneration === generation, "it is received");
    stopped.open();
    expect(await room.ended(attempt)).toBe(EndOutcome.CANCELED);
    expect(order).toEqual(["stop", "go"]);
  });

  test("of a type that does not say so is not stopped", async () => {
    const finish = gate();
    const { attempt, applied } = await running(job(() => finish.opened));
    expect(await applied(room.server.set(attempt, pause(true)))).toMatchObject({
      outcome: LeverOutcome.REJECTED,
      reason: "jobs of type test cannot be stopped by the system",
    });
    finish.open();
    await room.ended(attempt);
  });

  test("has handlers that fit together, or says what is wrong with them", async () => {
    const nothing = () => undefined;
    const faults: string[] = [];
    const say = (self: Job, handlers: JobHandlers) => {
      try {
        self.handle(handlers);
      } catch (error) {
        faults.push((error as Error).message);
      }
    };
    await room.start([
      job(
        (self) => {
          say(self, { stop: nothing });
          say(self, { stop: nothing, go: nothing, pause: nothing });
          say(self, { cancel: nothing });
          say(self, { pause: nothing, resume: nothing });
        },
        { systemStop: true },
      ),
      job((self) => say(self, { stop: nothing, go: nothing }), { type: "other" }),
    ]);
    await room.ended(room.server.assign("a", "test"));
    await room.ended(room.server.assign("b", "other"));
    expect(faults).toEqual([
      "job type test: stop and go need each other",
      "job type test: pause waits for nothing: stop has nothing to do beside it",
      "job type test: systemStop needs handlers for stop and go, or for pause and resume",
      "job type other: a handler for stop needs systemStop",
    ]);
  });
});

describe("what a job type says of the queue and of its attempts", () => {
  const run = () => undefined;

  test("reaches the server", () => {
    const type = defineJob({
      type: "test",
      run,
      mostRunning: 3,
      retry: { attempts: 4, backOffMs: 500, factor: 1.5, longestBackOffMs: 60_000, whenLost: true },
      deadline: { afterMs: 90_000, runsWhilePaused: true, graceMs: 2000 },
      systemStop: true,
    });
    expect(jobTypeOf(type)).toMatchObject({
      mostRunning: 3,
      retry: { mostAttempts: 4, backOffMs: 500n, factor: 1.5, longestBackOffMs: 60_000n, whenLost: true },
      deadline: { afterMs: 90_000n, runsWhilePaused: true, graceMs: 2000 },
      systemStop: true,
    });
    const plain = jobTypeOf(defineJob({ type: "test", run }));
    expect(plain).toMatchObject({ mostRunning: 0, systemStop: false });
    expect([plain.retry, plain.deadline]).toEqual([undefined, undefined]);
  });

  test.each([
    [{ mostRunning: 0 }, /mostRunning is a whole number from 1/],
    [{ retry: { attempts: 0 } }, /retry.attempts is a whole number from 1 to 100, not 0/],
    [{ retry: { attempts: 3, factor: 0.5 } }, /retry.factor is 1 to 10, not 0.5/],
    [{ retry: { attempts: 3, backOffMs: -1 } }, /retry.backOffMs/],
    [{ deadline: { afterMs: Infinity } }, /deadline.afterMs/],
    [{ deadline: { afterMs: 1.5 } }, /deadline.afterMs/],
    [{ systemStop: true, levers: ["speed" as const] }, /add the lever "run"/],
  ])("is refused where it makes no sense: %o", (policy, why) => {
    expect(() => defineJob({ type: "test", run, ...policy })).toThrow(why);
  });
});

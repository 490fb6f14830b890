import { setTimeout as delay } from "node:timers/promises";
import { EndOutcome, LeverOutcome, RunMode } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { JobCanceled, JobReleased, type JobHandlers } from "./index.ts";
import { gate, job, leverOf, roomForTests, untilAborted } from "./room-for-tests.ts";

const room = roomForTests();
const pause = { case: "run", value: { mode: RunMode.PAUSE } } as const;
const goOn = { case: "run", value: { mode: RunMode.RUN } } as const;
const cancel = (graceMs: number) =>
  ({ case: "run", value: { mode: RunMode.CANCEL, graceMs, reason: "enough" } }) as const;
const size = (value: number) => ({ case: "parameters", value: { parameters: { size: value } } }) as const;

describe("parameters of a running job", () => {
  test("are in effect when the handler has taken them, and a refused value leaves the old ones", async () => {
    const finish = gate();
    const taken: unknown[] = [];
    const slow = gate();
    await room.start([
      job(
        async (self) => {
          const before = self.parameters;
          self.handle({
            async parameters(next) {
              if (Number(next.size) > 100) throw new Error("at most 100 fit");
              if (Number(next.size) === 2) await slow.opened;
              taken.push([next.size, self.parameters.size]);
            },
          });
          await finish.opened;
          self.log.info(`${JSON.stringify(before)} ${JSON.stringify(self.parameters)}`);
        },
        { levers: ["parameters"] },
      ),
    ]);
    const attempt = room.server.assign("a", "test", { parameters: { size: 1 } });
    await room.server.until(() => attempt.report?.started === true, "it runs");
    const second = room.server.set(attempt, size(2));
    await room.server.until(() => attempt.report?.receivedGeneration === second, "it is received");
    expect(leverOf(attempt, "parameters")?.generation).not.toBe(second);
    // Of what is asked while the handler is at work the newest counts.
    room.server.set(attempt, size(3));
    const fourth = room.server.set(attempt, size(4));
    await room.server.until(() => attempt.report?.receivedGeneration === fourth, "all are received");
    slow.open();
    await room.server.until(() => leverOf(attempt, "parameters")?.generation === fourth, "the newest is applied");
    expect(taken).toEqual([
      [2, 1],
      [4, 2],
    ]);
    const fifth = room.server.set(attempt, size(500));
    await room.server.until(() => leverOf(attempt, "parameters")?.generation === fifth, "the answer is there");
    expect(attempt.report?.levers.filter(({ value }) => value?.value.case === "parameters")).toMatchObject([
      { generation: fourth, outcome: LeverOutcome.APPLIED },
      { generation: fifth, outcome: LeverOutcome.REJECTED, reason: "at most 100 fit" },
    ]);
    finish.open();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.text).toBe('{"size":1} {"size":4}\n');
  });

  test("that hold for a while go back through the handler, with the server away too", async () => {
    const taken: unknown[] = [];
    await room.start([
      job(
        async (self) => {
          self.handle({ parameters: (next) => void taken.push(next.size) });
          await untilAborted(self.signal);
        },
        { levers: ["parameters"] },
      ),
    ]);
    const attempt = room.server.assign("a", "test", { parameters: { size: 1 } });
    await room.server.until(() => attempt.report?.started === true, "it runs");
    const generation = room.server.set(attempt, size(2), { durationMs: 400n, then: size(1) });
    await room.server.until(() => leverOf(attempt, "parameters")?.generation === generation, "it is applied");
    await room.server.stop();
    await expect.poll(() => taken, { timeout: 10_000 }).toEqual([2, 1]);
    await room.server.start();
    await room.server.until(
      () => leverOf(attempt, "parameters")?.outcome === LeverOutcome.REVERTED,
      "the worker says that it is over",
    );
    expect(leverOf(attempt, "parameters")).toMatchObject({ generation, value: { value: size(1) } });
  });

  test("are there at once for a job that looks at them each time", async () => {
    const seen: unknown[] = [];
    await room.start([
      job(
        async (self) => {
          while (Number(self.parameters.size) < 3) {
            if (seen.at(-1) !== self.parameters.size) seen.push(self.parameters.size);
            await self.checkpoint();
          }
        },
        { levers: ["parameters"] },
      ),
    ]);
    const attempt = room.server.assign("a", "test", { parameters: { size: 1 } });
    await room.server.until(() => seen.length === 1, "it looks");
    room.server.set(attempt, size(2));
    await room.server.until(() => seen.length === 2, "it has seen the next");
    room.server.set(attempt, size(3));
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(seen).toEqual([1, 2]);
  });

  test("cannot be changed in a job whose type does not say so, and it cannot have a handler for them", async () => {
    const finish = gate();
    const errors: unknown[] = [];
    await room.start([
      job(async (self) => {
        try {
          self.handle({ parameters: () => undefined });
        } catch (error) {
          errors.push(error);
        }
        await finish.opened;
      }),
    ]);
    const attempt = room.server.assign("a", "test", { parameters: { size: 1 } });
    await room.server.until(() => attempt.report?.started === true, "it runs");
    const generation = room.server.set(attempt, size(2));
    await room.server.until(() => leverOf(attempt, "parameters")?.generation === generation, "the answer is there");
    expect(leverOf(attempt, "parameters")).toMatchObject({ outcome: LeverOutcome.REJECTED });
    expect(errors).toMatchObject([{ message: expect.stringContaining('needs the lever "parameters"') as string }]);
    finish.open();
    await room.ended(attempt);
  });
});

describe("a job that steers something else", () => {
  /** A job whose handlers the test settles one by one. */
  function steered(more: Partial<JobHandlers> = {}) {
    const calls: string[] = [];
    const gates: ReturnType<typeof gate>[] = [];
    const finish = gate();
    const wait = (name: string) => () => {
      calls.push(name);
      const each = gate();
      gates.push(each);
      return each.opened;
    };
    const definition = job(async (self) => {
      self.handle({ pause: wait("pause"), resume: wait("resume"), ...more });
      await finish.opened;
    });
    return { definition, calls, finish, next: () => gates.shift()?.open() };
  }

  test("is paused when pause() has resolved and runs when resume() has", async () => {
    const { definition, calls, finish, next } = steered();
    await room.start([definition]);
    const attempt = room.server.assign("a", "test");
    await room.server.until(() => attempt.report?.started === true, "it runs");
    const paused = room.server.set(attempt, pause);
    await room.server.until(() => attempt.report?.receivedGeneration === paused, "the pause is received");
    expect(leverOf(attempt, "run")?.generation).not.toBe(paused);
    next();
    await room.server.until(() => leverOf(attempt, "run")?.generation === paused, "the pause is applied");
    const resumed = room.server.set(attempt, goOn);
    await room.server.until(() => calls.length === 2, "resume is called");
    next();
    await room.server.until(() => leverOf(attempt, "run")?.generation === resumed, "it runs again");
    expect(calls).toEqual(["pause", "resume"]);
    finish.open();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  });

  test("is paused from the beginning if that is what was asked", async () => {
    const { definition, calls, finish, next } = steered();
    await room.start([definition]);
    const attempt = room.server.assign("a", "test", { levers: [pause] });
    await room.server.until(() => calls.length === 1, "pause is called");
    next();
    await room.server.until(() => leverOf(attempt, "run")?.value?.value.value !== undefined, "it is reported");
    finish.open();
    await room.ended(attempt);
    expect(leverOf(attempt, "run")?.value?.value).toMatchObject(pause);
  });

  test("refuses with the reason that its handler throws", async () => {
    const finish = gate();
    await room.start([
      job(async (self) => {
        self.handle({
          pause: () => {
            throw new Error("not in the middle of a write");
          },
        });
        await finish.opened;
      }),
    ]);
    const attempt = room.server.assign("a", "test");
    await room.server.until(() => attempt.report?.started === true, "it runs");
    const generation = room.server.set(attempt, pause);
    await room.server.until(() => leverOf(attempt, "run")?.generation === generation, "the answer is there");
    expect(leverOf(attempt, "run")).toMatchObject({
      outcome: LeverOutcome.REJECTED,
      reason: "not in the middle of a write",
    });
    finish.open();
    await room.ended(attempt);
  });

  test("holds its loops too from when pause() has resolved", async () => {
    const seen: number[] = [];
    await room.start([
      job(async (self) => {
        self.handle({
          // Until it has resolved the loop goes on.
          async pause() {
            const from = seen.length;
            while (seen.length < from + 3) await delay(5);
          },
          resume: () => undefined,
        });
        for await (const i of self.paced(Array.from({ length: 60 }, (_, i) => i))) seen.push(i);
      }),
    ]);
    const attempt = room.server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 100 } }] });
    await room.server.until(() => seen.length > 5, "items are done");
    const generation = room.server.set(attempt, pause);
    await room.server.until(() => leverOf(attempt, "run")?.generation === generation, "the pause is applied");
    await room.server.roundTrip();
    const stood = seen.length;
    expect(attempt.vitals.at(-1)?.itemsPerSecond).toBe(0);
    await delay(200);
    expect(seen.length).toBe(stood);
    room.server.set(attempt, goOn);
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  });

  test("hears of a cancel while pause() runs, again when the grace is shortened, and ends when it ends", async () => {
    const cancels: [number, string][] = [];
    const { definition, calls, finish, next } = steered({
      cancel: (graceMs, reason) => void cancels.push([graceMs, reason]),
    });
    await room.start([definition]);
    const attempt = room.server.assign("a", "test");
    await room.server.until(() => attempt.report?.started === true, "it runs");
    room.server.set(attempt, pause);
    await room.server.until(() => calls.length === 1, "pause is called");
    room.server.set(attempt, cancel(60_000));
    await room.server.until(() => cancels.length === 1, "the cancel is there");
    room.server.set(attempt, cancel(90_000));
    room.server.set(attempt, cancel(10));
    await room.server.until(() => cancels.length === 2, "the shorter one is there");
    next();
    await room.server.roundTrip();
    await delay(50);
    // Its grace is long over: it is the job's own business to end.
    expect(attempt.report?.end).toBeUndefined();
    expect(cancels).toEqual([
      [60_000, "enough"],
      [10, "enough"],
    ]);
    finish.open();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(calls).toEqual(["pause"]);
  });

  test("is told by the signal how long it has, be it canceled or released", async () => {
    const reasons: unknown[] = [];
    const worker = await room.start([
      job(async (self) => {
        self.handle({ cancel: () => undefined });
        await untilAborted(self.signal).catch((reason: unknown) => reasons.push(reason));
        throw self.signal.reason;
      }),
    ]);
    const first = room.server.assign("a", "test");
    const second = room.server.assign("b", "test");
    await room.server.until(() => worker.running === 2 && second.report?.started === true, "they run");
    room.server.set(first, cancel(1234));
    expect(await room.ended(first)).toBe(EndOutcome.CANCELED);
    await worker.stop("for a test");
    expect(second.report?.end?.outcome).toBe(EndOutcome.RELEASED);
    expect(reasons).toEqual([new JobCanceled("enough", 1234), new JobReleased("for a test", 500)]);
  });

  test("is given up after all when its handler for cancel fails", async () => {
    await room.start([
      job((self) => {
        self.handle({
          cancel: () => {
            throw new Error("no such process");
          },
        });
        return new Promise<void>(() => undefined);
      }),
    ]);
    const attempt = room.server.assign("a", "test");
    await room.server.until(() => attempt.report?.started === true, "it runs");
    room.server.set(attempt, cancel(20));
    expect(await room.ended(attempt)).toBe(EndOutcome.CANCELED);
    expect(attempt.text).toMatch(/no such process[^]*given up, as it had not ended within 0\.02 s/);
  });
});

import { setTimeout as delay } from "node:timers/promises";
import { EndOutcome } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import { gate, job, roomForTests, untilAborted } from "./room-for-tests.ts";
import type { StoredAttempt } from "./server-for-tests.ts";

const room = roomForTests();

describe("the results of a job", () => {
  test("reach the server while it runs, the newest only, once each, and again over a new link", async () => {
    const finish = gate();
    await room.start([
      job(async (self) => {
        for (let i = 1; i <= 1000; i++) self.results({ found: i, of: { first: [1, null, "x"] } });
        const ticking = setInterval(() => self.progress({ phase: String(performance.now()) }), 20);
        await finish.opened;
        clearInterval(ticking);
      }),
    ]);
    const attempt = room.server.assign("a", "test");
    const withResults = () => attempt.vitals.flatMap(({ results }) => results ?? []);
    const newest = { found: 1000, of: { first: [1, null, "x"] } };
    await room.server.until(() => withResults().length > 0, "they are there");
    const before = attempt.vitals.length;
    await room.server.until(() => attempt.vitals.length > before + 2, "more vitals have come");
    expect(withResults().at(-1)).toEqual(newest);
    expect(withResults().length).toBeLessThanOrEqual(2);
    const known = withResults().length;
    await room.server.stop();
    await room.server.start();
    await room.server.until(() => withResults().length > known, "the next link has them too");
    expect(withResults().at(-1)).toEqual(newest);
    finish.open();
    await room.ended(attempt);
    expect(attempt.report?.end?.results).toEqual(newest);
  });

  test("are kept with the end of a job that fails, and what it returns takes the place of what it said", async () => {
    await room.start([
      job((self) => {
        self.results({ done: 3 });
        throw new Error("no more");
      }),
      job(
        (self) => {
          self.results({ done: 3 });
          return { exitCode: 0, results: { done: 4 } };
        },
        { type: "other" },
      ),
    ]);
    const failed = room.server.assign("a", "test");
    const done = room.server.assign("b", "other");
    expect(await room.ended(failed)).toBe(EndOutcome.FAILED);
    expect(await room.ended(done)).toBe(EndOutcome.SUCCEEDED);
    expect(failed.report?.end?.results).toEqual({ done: 3 });
    expect(done.report?.end).toMatchObject({ results: { done: 4 }, exitCode: 0 });
  });

  test("have a bound, and are objects", async () => {
    const errors: unknown[] = [];
    await room.start([
      job((self) => {
        for (const each of [{ text: "é".repeat(9000) }, [1], "text", null]) {
          try {
            self.results(each as never);
          } catch (error) {
            errors.push((error as Error).message);
          }
        }
        return { results: { text: "x".repeat(20_000) } };
      }),
    ]);
    const attempt = room.server.assign("a", "test");
    expect(await room.ended(attempt)).toBe(EndOutcome.FAILED);
    const tooLong = "results have at most 16384 bytes as JSON, not ";
    expect(errors).toEqual([`${tooLong}18011`, ...Array<string>(3).fill("results are an object: { name: value }")]);
    expect(attempt.report?.end?.reason).toBe(`${tooLong}20011`);
    expect(attempt.report?.end?.results).toBeUndefined();
  });

  test("do not show secrets", async () => {
    await room.start([job((self) => self.results({ top: ["hunter2hunter2", { "is hunter2hunter2": 1 }] }))], {
      redact: { values: ["hunter2hunter2"] },
    });
    const attempt = room.server.assign("a", "test");
    await room.ended(attempt);
    expect(attempt.report?.end?.results).toEqual({ top: ["[redacted]", { "is [redacted]": 1 }] });
  });
});

describe("the usual time to reach a safe point", () => {
  const newest = (attempt: StoredAttempt) => attempt.vitals.at(-1)?.safePointMs;

  test("is what lies between two of them, without what the job waits there", async () => {
    await room.start([
      job(async (self) => {
        for await (const _ of self.paced(Array.from({ length: 1000 }))) await delay(60, undefined, self);
      }),
    ]);
    const attempt = room.server.assign("a", "test", {
      levers: [{ case: "speed", value: { itemsPerSecond: 5 } }],
    });
    await room.server.until(() => newest(attempt) !== undefined, "it is known");
    expect(Number(newest(attempt))).toBeGreaterThanOrEqual(59);
    // An item is due each 200 ms: the wait for it is no wait for a safe point.
    expect(Number(newest(attempt))).toBeLessThan(190);
  });

  test("is not known of a job that has none, or that needs none for a pause", async () => {
    await room.start([
      job(async (self) => {
        const ticking = setInterval(() => self.progress({ phase: String(performance.now()) }), 20);
        await untilAborted(self.signal).finally(() => clearInterval(ticking));
      }),
      job(
        async (self) => {
          self.handle({ pause: () => undefined });
          for (let done = 0; ; done++) {
            await self.checkpoint();
            self.progress({ done });
            await delay(10, undefined, self);
          }
        },
        { type: "other" },
      ),
    ]);
    const attempts = [room.server.assign("a", "test"), room.server.assign("b", "other")];
    await room.server.until(() => attempts.every(({ vitals }) => vitals.length > 3), "there are vitals");
    expect(attempts.map(newest)).toEqual([undefined, undefined]);
  });
});

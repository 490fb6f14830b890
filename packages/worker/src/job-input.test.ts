import { setImmediate as nextTurn } from "node:timers/promises";
import { EndOutcome, RunMode } from "@signalbox/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Bell } from "./bell.ts";
import { JobInput } from "./job-input.ts";
import { gate, job, leverOf, roomForTests } from "./room-for-tests.ts";

const room = roomForTests();

/** An input that a test fills and reads. */
function openInput() {
  const controller = new AbortController();
  const asked: number[] = [];
  const input: JobInput = new JobInput({ arrived: new Bell(), onTaken: () => asked.push(input.taken) });
  return { input, asked, controller, reader: input.pieces(controller.signal)[Symbol.asyncIterator]() };
}

describe("the input of an attempt", () => {
  test("is each byte once and in order, however often and from where the server sends it", async () => {
    const step = fc.oneof(
      fc.record({ ahead: fc.integer({ min: -60, max: 20 }), length: fc.integer({ min: 0, max: 100 }) }),
      fc.constant("take" as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.array(step, { maxLength: 40 }), async (sent, steps) => {
        const { input, asked, reader } = openInput();
        const got: Uint8Array[] = [];
        let contiguous = 0;
        const deliver = (from: number, length: number) => {
          const data = sent.slice(from, from + length);
          input.receive({ offset: BigInt(from), data, eof: from + length >= sent.length });
          if (from <= contiguous) contiguous = Math.max(contiguous, from + data.length);
        };
        const take = async () => {
          const { value, done } = await reader.next();
          if (!done) got.push(value);
          return !done;
        };
        for (const each of steps) {
          if (each === "take") {
            if (contiguous > Buffer.concat(got).length) await take();
            continue;
          }
          const from = Math.min(Math.max(0, contiguous + each.ahead), sent.length);
          const before = asked.length;
          deliver(from, each.length);
          // A hole is asked for.
          if (from > contiguous) expect(asked.length).toBe(before + 1);
        }
        deliver(Buffer.concat(got).length, sent.length);
        while (await take());
        expect(Buffer.concat(got).equals(Buffer.from(sent))).toBe(true);
        expect(input.taken).toBe(sent.length);
      }),
    );
  });

  test("takes no more than 256 KiB ahead, whatever the server sends", async () => {
    const { input, reader } = openInput();
    for (let at = 0; at < 10; at++)
      input.receive({ offset: BigInt(at * 65_536), data: new Uint8Array(65_536), eof: false });
    let bytes = 0;
    for (let i = 0; i < 4; i++) bytes += (await reader.next()).value?.length ?? 0;
    expect(bytes).toBe(256 * 1024);
    const next = reader.next();
    await nextTurn();
    input.receive({ offset: BigInt(bytes), data: Buffer.from("on"), eof: true });
    expect(Buffer.from((await next).value ?? []).toString()).toBe("on");
    expect((await reader.next()).done).toBe(true);
  });
});

describe("input that people send into a job", () => {
  test("reaches it byte for byte while the server is killed, and ends where they end it", async () => {
    const sent = Buffer.from(Array.from({ length: 700_000 }, (_, i) => (i * 31) % 251));
    const pieces: Uint8Array[] = [];
    await room.start(
      [
        job(
          async ({ input, log }) => {
            for await (const piece of input) {
              pieces.push(piece);
              await nextTurn();
            }
            log.info("all of it");
          },
          { input: true },
        ),
      ],
      {},
    );
    expect(room.server.hellos[0]?.jobTypes[0]?.takesInput).toBe(true);
    const attempt = room.server.assign("a", "test");
    for (let at = 0; at < sent.length; at += 100_000) {
      room.server.send(attempt, sent.subarray(at, at + 100_000));
      await room.server.until(() => (attempt.inputTaken.at(-1) ?? 0) > at, "some of it is taken");
      if (at % 200_000 === 0) await room.server.restart();
    }
    room.server.send(attempt, "", { eof: true });
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(Buffer.concat(pieces).equals(sent)).toBe(true);
    expect(attempt.inputTaken.at(-1)).toBe(sent.length);
    expect(attempt.text).toBe("all of it\n");
  });

  test("is not taken before the job reads it, and is said to be wanted after each welcome", async () => {
    const read = gate();
    await room.start([
      job(
        async ({ input }) => {
          await read.opened;
          for await (const _ of input);
        },
        { input: true },
      ),
    ]);
    const attempt = room.server.assign("a", "test");
    room.server.send(attempt, "x".repeat(100), { eof: true });
    await room.server.until(() => attempt.inputTaken.length === 1, "the worker has asked");
    room.server.drop();
    await room.server.until(() => attempt.inputTaken.length === 2, "it has asked again");
    await room.server.roundTrip();
    expect(attempt.inputTaken).toEqual([0, 0]);
    read.open();
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.inputTaken.at(-1)).toBe(100);
  });

  test("is not waited for any longer when the job is canceled", async () => {
    await room.start([
      job(
        async ({ input }) => {
          for await (const _ of input);
        },
        { input: true },
      ),
    ]);
    const attempt = room.server.assign("a", "test");
    await room.server.until(() => attempt.report?.started === true, "it runs");
    room.server.set(attempt, { case: "run", value: { mode: 3, graceMs: 60_000, reason: "enough" } });
    expect(await room.ended(attempt)).toBe(EndOutcome.CANCELED);
  });

  test("fails a job of a type that takes none", async () => {
    await room.start([
      job(async ({ input }) => {
        for await (const _ of input);
      }),
    ]);
    const attempt = room.server.assign("a", "test");
    expect(await room.ended(attempt)).toBe(EndOutcome.FAILED);
    expect(attempt.report?.end?.reason).toContain("jobs of type test take no input");
    expect(attempt.inputTaken).toEqual([]);
  });

  test("that is gone through with paced can be paused while nothing has come, and nothing is handed out then", async () => {
    const got: string[] = [];
    await room.start([
      job(
        async (self) => {
          for await (const piece of self.paced(self.input)) got.push(Buffer.from(piece).toString());
        },
        { input: true },
      ),
    ]);
    const attempt = room.server.assign("a", "test");
    room.server.send(attempt, "one");
    await expect.poll(() => got).toEqual(["one"]);
    const run = (mode: RunMode) => room.server.set(attempt, { case: "run", value: { mode } });
    const pause = run(RunMode.PAUSE);
    await room.server.until(() => leverOf(attempt, "run")?.generation === pause, "it stands");
    room.server.send(attempt, "two", { eof: true });
    await room.server.roundTrip();
    expect(got).toEqual(["one"]);
    run(RunMode.RUN);
    expect(await room.ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(got).toEqual(["one", "two"]);
    expect(attempt.vitals.at(-1)?.itemsDone).toBe(2n);
  });
});

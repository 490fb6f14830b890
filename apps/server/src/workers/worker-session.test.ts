import { create } from "@bufbuild/protobuf";
import { HelloSchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { WorkerSession } from "./worker-session.ts";

const hourUs = 3_600_000_000;

/** A session of a worker whose clock is `aheadUs` ahead, and whose hello was on its way for `delayUs`. */
function sessionOf(aheadUs: number, delayUs: number) {
  const time = { now: 1_000_000_000_000 };
  const worker = { aheadUs };
  const workerTimeUs = BigInt(time.now + aheadUs);
  time.now += delayUs;
  const session = new WorkerSession(
    create(HelloSchema, { workerId: "w", incarnation: "i".repeat(16), slots: 1, workerTimeUs }),
    1n,
    time.now,
  );
  /** A heartbeat that takes `downUs` to the worker and `upUs` back. */
  const beat = (downUs: number, upUs: number) => {
    const sentAt = time.now;
    session.heartbeat(sentAt);
    time.now += downUs;
    const workerTime = time.now + worker.aheadUs;
    time.now += upUs;
    session.measure(sentAt, workerTime, time.now);
  };
  return { session, worker, beat };
}

test("the offset of a worker's clock is known to half a round trip, however long the hello took", () => {
  const { session, beat } = sessionOf(hourUs, 2_000_000);
  expect(session.clockOffsetUs).toBe(-hourUs + 2_000_000);
  beat(300, 500);
  expect(Math.abs(session.clockOffsetUs + hourUs)).toBeLessThanOrEqual(400);
});

test("a long round trip does not spoil what a short one has measured", () => {
  const { session, beat } = sessionOf(hourUs, 0);
  beat(200, 200);
  for (const [down, up] of [
    [0, 900_000],
    [900_000, 0],
    [50_000, 1_000],
  ] as const)
    beat(down, up);
  expect(session.clockOffsetUs).toBe(-hourUs);
});

test("a clock that is set while the link is open is measured anew", () => {
  const { session, worker, beat } = sessionOf(0, 0);
  beat(100, 100);
  worker.aheadUs = -hourUs;
  beat(20_000, 20_000);
  expect(Math.abs(session.clockOffsetUs - hourUs)).toBeLessThanOrEqual(20_000);
});

test("who waits for the clock goes on when it was measured, when the session ends, and in any case after a while", async () => {
  const measured = sessionOf(0, 0);
  const waits = measured.session.clockMeasured(60_000);
  measured.beat(1, 1);
  await waits;
  const ended = sessionOf(0, 0).session;
  const waitsToo = ended.clockMeasured(60_000);
  ended.end();
  await waitsToo;
  await sessionOf(0, 0).session.clockMeasured(1);
});

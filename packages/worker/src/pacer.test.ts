import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BEHIND_MS, Pacer } from "./pacer.ts";

/** Runs `items` items on a clock that only moves when the job waits or works. Timers are late by `lateMs`. Returns when each began. */
function run(
  pacer: Pacer,
  {
    items,
    fromMs = 0,
    workMs = () => 0,
    lateMs = () => 0,
  }: { items: number; fromMs?: number; workMs?: () => number; lateMs?: () => number },
): number[] {
  let nowMs = fromMs;
  const began: number[] = [];
  while (began.length < items) {
    const dueMs = pacer.dueMs(nowMs);
    if (dueMs > nowMs) nowMs = dueMs + lateMs();
    else {
      pacer.begin(nowMs);
      began.push(nowMs);
      nowMs += workMs();
    }
  }
  return began;
}

describe("a pacer", () => {
  test("keeps the rate exactly over time although every timer is late", () => {
    fc.assert(
      fc.property(fc.constantFrom(5, 20, 200, 2000), fc.integer({ min: 0, max: 15 }), (speed, lateMs) => {
        const pacer = new Pacer();
        pacer.setSpeed(speed);
        const items = speed * 20;
        const began = run(pacer, { items, lateMs: () => lateMs });
        const rate = (items - 1) / (((began.at(-1) ?? 0) - (began[0] ?? 0)) / 1000);
        expect(Math.abs(rate / speed - 1)).toBeLessThan(0.01);
      }),
    );
  });

  test("never begins more items in any stretch of time than the speed and 20 ms allow", () => {
    const speeds = fc.constantFrom(1, 5, 20, 200, 2000);
    fc.assert(
      fc.property(
        speeds,
        fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 30 }),
        (speed, delays) => {
          const pacer = new Pacer();
          pacer.setSpeed(speed);
          let i = 0;
          const began = run(pacer, { items: 100, workMs: () => delays[i++ % delays.length] ?? 0 });
          for (let from = 0; from < began.length; from += 7)
            for (let to = from; to < began.length; to += 5) {
              const seconds = ((began[to] ?? 0) - (began[from] ?? 0) + BEHIND_MS) / 1000;
              expect(to - from).toBeLessThanOrEqual(seconds * speed + 1e-6);
            }
        },
      ),
    );
  });

  test("does not make up for what it missed while the job was slow", () => {
    const pacer = new Pacer();
    pacer.setSpeed(10);
    run(pacer, { items: 1 });
    const began = run(pacer, { items: 3, fromMs: 5000 });
    expect(began).toEqual([5000, 5100, 5200]);
  });

  test("goes by a new speed from the last item on, and neither bursts nor waits for the old one", () => {
    const pacer = new Pacer();
    pacer.setSpeed(0.01);
    run(pacer, { items: 1, fromMs: 1000 });
    pacer.setSpeed(10);
    expect(pacer.dueMs(1010)).toBe(1100);
    pacer.setSpeed(20);
    expect(pacer.dueMs(1010)).toBe(1050);
    for (let i = 0; i < 10; i++) {
      pacer.restart();
      expect(pacer.dueMs(1010)).toBe(1050);
    }
  });

  test("lets every item begin at once when there is no speed", () => {
    const pacer = new Pacer();
    pacer.setSpeed(1);
    run(pacer, { items: 1 });
    pacer.setSpeed(undefined);
    expect(run(pacer, { items: 3, fromMs: 5 })).toEqual([5, 5, 5]);
  });
});

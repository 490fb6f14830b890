import { describe, expect, test } from "vitest";
import { LeaseClock } from "./lease-clock.ts";

/** Looks every second from `from` to `to` (exclusive), and returns when what was found. */
function lookEverySecond(leases: LeaseClock, from: number, to: number): [number, string][] {
  const found: [number, string][] = [];
  for (let now = from; now < to; now += 1000) for (const { state } of leases.look(now)) found.push([now, state]);
  return found;
}

describe("a lease", () => {
  test("is silent after 10 s and lost after 15 s, once each", () => {
    const leases = new LeaseClock(0);
    leases.hear("w", 0);
    expect(lookEverySecond(leases, 1000, 60_000)).toEqual([
      [10_000, "silent"],
      [15_000, "lost"],
    ]);
  });

  test("never ends for a worker that is heard every 5 s", () => {
    const leases = new LeaseClock(0);
    for (let now = 0; now < 100_000; now += 1000) {
      if (now % 5000 === 0) leases.hear("w", now);
      expect(leases.look(now)).toEqual([]);
    }
  });

  test("gets a full new term when the server itself stood still", () => {
    const leases = new LeaseClock(0);
    leases.hear("w", 0);
    expect(lookEverySecond(leases, 1000, 5000)).toEqual([]);
    expect(leases.look(45_000)).toEqual([]);
    expect(lookEverySecond(leases, 46_000, 80_000)).toEqual([
      [55_000, "silent"],
      [60_000, "lost"],
    ]);
  });

  test("of a worker that comes back begins anew", () => {
    const leases = new LeaseClock(0);
    leases.hear("w", 0);
    lookEverySecond(leases, 1000, 20_000);
    leases.hear("w", 20_000);
    expect(lookEverySecond(leases, 20_000, 29_000)).toEqual([]);
  });

  test("that nobody watches is not looked at", () => {
    const leases = new LeaseClock(0);
    leases.hear("w", 0);
    leases.forget("w");
    expect(lookEverySecond(leases, 1000, 60_000)).toEqual([]);
    expect(leases.watches("w")).toBe(false);
  });
});

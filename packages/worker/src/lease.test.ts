import { afterEach, describe, expect, test } from "vitest";
import { Lease } from "./lease.ts";

const leases: Lease[] = [];
afterEach(() => leases.splice(0).forEach((lease) => lease.stop()));

function leaseOf(leaseMs: number) {
  const time = { ms: 0 };
  const over: number[] = [];
  const lease = new Lease(
    () => time.ms,
    (silentMs) => over.push(silentMs),
  );
  leases.push(lease);
  lease.begin(leaseMs);
  return { lease, time, over };
}

describe("a lease", () => {
  test("goes on as long as the server is heard", () => {
    const { lease, time, over } = leaseOf(15_000);
    for (let i = 0; i < 100; i++) {
      time.ms += 14_999;
      lease.heard();
    }
    expect(over).toEqual([]);
  });

  test("ends once when it is not", () => {
    const { lease, time, over } = leaseOf(15_000);
    time.ms = 15_000;
    lease.check();
    time.ms = 60_000;
    lease.check();
    expect(over).toEqual([15_000]);
  });

  test("is not renewed by a word that is read after its end, but by the next welcome", () => {
    const { lease, time, over } = leaseOf(15_000);
    time.ms = 20_000;
    lease.heard();
    expect(over).toEqual([20_000]);
    lease.begin(10_000);
    time.ms = 29_999;
    lease.check();
    expect(over).toHaveLength(1);
    time.ms = 30_000;
    lease.check();
    expect(over).toEqual([20_000, 10_000]);
  });

  test("that has not begun does not end", () => {
    const over: number[] = [];
    const lease = new Lease(
      () => 1e9,
      (silentMs) => over.push(silentMs),
    );
    lease.check();
    lease.heard();
    expect(over).toEqual([]);
  });
});

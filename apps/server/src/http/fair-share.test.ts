import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FairShare, type Share } from "./fair-share.ts";

beforeEach(() => vi.useFakeTimers({ toFake: ["performance", "setTimeout", "setImmediate"] }));
afterEach(() => vi.useRealTimers());

const portion = 64 * 1024;

/** A call that takes `ms` for each portion, and how often it was heard. */
function flood(share: Share, ms: number) {
  const heard = { portions: 0 };
  const go = () => {
    setTimeout(() => {
      heard.portions++;
      share.take(portion, go);
    }, ms);
  };
  go();
  return heard;
}

/** A call that says a line every 50 ms. */
function speaks(share: Share) {
  const line = () => {
    expect(share.take(100, () => undefined)).toBe(false);
    setTimeout(line, 50);
  };
  line();
}

test("a call that floods on its own only lets the loop turn", () => {
  const heard = flood(new FairShare().join(), 2);
  vi.advanceTimersByTime(1_000);
  expect(heard.portions).toBeGreaterThan(300);
});

test("beside one who speaks now and then it is heard a fifth of the time", async () => {
  const shares = new FairShare();
  const heard = flood(shares.join(), 2);
  vi.advanceTimersByTime(100);
  speaks(shares.join());
  heard.portions = 0;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(heard.portions).toBeGreaterThan(80);
  expect(heard.portions).toBeLessThan(120);
});

test("one who has not spoken for a second holds no flood up", () => {
  const shares = new FairShare();
  shares.join().take(100, () => undefined);
  vi.advanceTimersByTime(1_100);
  const heard = flood(shares.join(), 2);
  vi.advanceTimersByTime(1_000);
  expect(heard.portions).toBeGreaterThan(300);
});

test("one who prints much at its own pace waits 10 ms at most", () => {
  const shares = new FairShare();
  const heard = flood(shares.join(), 20);
  speaks(shares.join());
  vi.advanceTimersByTime(3_000);
  expect(heard.portions).toBeGreaterThan(95);
});

test("floods do not hold each other up, and one who takes long for a portion is none", () => {
  const shares = new FairShare();
  const [one, other] = [flood(shares.join(), 2), flood(shares.join(), 2)];
  vi.advanceTimersByTime(1_000);
  expect(Math.min(one.portions, other.portions)).toBeGreaterThan(300);
  const slow = flood(shares.join(), 30);
  speaks(shares.join());
  vi.advanceTimersByTime(1_000);
  expect(slow.portions).toBeGreaterThan(25);
});

import { expect, test } from "vitest";
import { RateMeter } from "./rate-meter.ts";

test("a rate is that of the last five seconds", () => {
  const meter = new RateMeter();
  expect(meter.sample(0, 0)).toBe(0);
  for (let ms = 250; ms <= 10_000; ms += 250) meter.sample(ms, ms / 10);
  expect(meter.sample(10_250, 1025)).toBeCloseTo(100);
  let rate = 0;
  for (let ms = 10_500; ms <= 15_500; ms += 250) rate = meter.sample(ms, 1025);
  expect(rate).toBe(0);
});

test("a counter that is set back starts over", () => {
  const meter = new RateMeter();
  meter.sample(0, 100);
  expect(meter.sample(1000, 10)).toBe(0);
  expect(meter.sample(2000, 30)).toBe(20);
});

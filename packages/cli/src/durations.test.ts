import { expect, test } from "vitest";
import { parseDuration } from "./durations.ts";

test("a duration is numbers with their units", () => {
  expect(["0", "500ms", "10s", "1.5m", "1h30m", "2d"].map(parseDuration)).toEqual([
    0, 500, 10_000, 90_000, 5_400_000, 172_800_000,
  ]);
});

test.each(["10", "", "s", "10 s", "-5s", "5s!", "1h30", "1e3s"])("'%s' is none", (text) => {
  expect(() => parseDuration(text)).toThrow(`'${text}' is no duration.`);
});

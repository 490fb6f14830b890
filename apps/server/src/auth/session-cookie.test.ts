import { expect, test } from "vitest";
import { createSessionCookie } from "./session-cookie.ts";

const key = "k".repeat(43);
const day = 24 * 3600_000;

test("a cookie is valid for 30 days, whatever the browser does with it", () => {
  let now = Date.UTC(2030, 0, 1);
  const cookie = createSessionCookie(
    key,
    () => 8080,
    () => now,
  );
  const header = cookie.signIn(false).split(";")[0]!;
  now += 30 * day - 1_000;
  expect(cookie.check(`other=1; ${header}; another=2`)).toBe(true);
  now += 1_000;
  expect(cookie.check(header)).toBe(false);
});

test("servers on two ports of one host keep their cookies apart, even with the same key", () => {
  const [one, two] = [createSessionCookie(key, () => 8080), createSessionCookie(key, () => 8081)];
  const header = one.signIn(false).split(";")[0]!;
  expect(one.check(header)).toBe(true);
  expect(two.check(header)).toBe(false);
  expect(two.check(header.replace("8080", "8081"))).toBe(false);
});

import { expect, test } from "vitest";
import { createLoginCodes } from "./login-codes.ts";

test("codes are 128 bits, never the same, and fit into a link", () => {
  const codes = createLoginCodes();
  const issued = new Set(Array.from({ length: 1_000 }, () => codes.issue()));
  expect(issued.size).toBe(1_000);
  for (const code of issued) expect(code).toMatch(/^[A-Za-z0-9_-]{22}$/);
});

test("of many codes only the newest 32 are kept", () => {
  const codes = createLoginCodes();
  const [dropped, kept] = [codes.issue(), codes.issue()];
  for (let count = 0; count < 31; count++) codes.issue();
  expect(codes.redeem(dropped)).toBe("wrong");
  expect(codes.redeem(kept)).toBe("right");
});

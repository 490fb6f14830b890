import { expect, test } from "vitest";
import { formatMarked, parseMarked } from "./marked-lines.ts";

test("a marked line and a marked range survive the URL", () => {
  for (const marked of [
    { from: 120, to: 120 },
    { from: 120, to: 140 },
  ])
    expect(parseMarked(formatMarked(marked))).toEqual(marked);
  expect(parseMarked("140-120")).toEqual({ from: 120, to: 140 });
});

test("what names no line marks nothing", () => {
  for (const text of [null, "", "0", "-3", "1-", "12x", "1e9", "9".repeat(20)])
    expect(parseMarked(text)).toBeUndefined();
});

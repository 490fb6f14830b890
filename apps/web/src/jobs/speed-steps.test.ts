import { expect, test } from "vitest";
import { parseSpeed, stepSpeed } from "./speed-steps.ts";

test("steps are 1, 2, 5 of each power of ten, from wherever the speed stands", () => {
  expect([
    stepSpeed(20, 1),
    stepSpeed(20, -1),
    stepSpeed(12.5, 1),
    stepSpeed(12.5, -1),
    stepSpeed(1, -1),
    stepSpeed(1_000_000, 1),
  ]).toEqual([50, 10, 20, 10, 1, 1_000_000]);
});

test("a typed speed is a number above zero", () => {
  expect([
    parseSpeed("12.5"),
    parseSpeed(" 12,5 "),
    parseSpeed("0"),
    parseSpeed("-1"),
    parseSpeed("fast"),
    parseSpeed(""),
    parseSpeed("1e9"),
  ]).toEqual([12.5, 12.5, undefined, undefined, undefined, undefined, undefined]);
});

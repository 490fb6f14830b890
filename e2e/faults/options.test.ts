import { expect, test } from "vitest";
import { wholeLong } from "./long.ts";
import { readOptions, readSeed } from "./options.ts";

test("the fault runner plays all where nothing is named, and the parts that are", () => {
  expect(readOptions([])).toMatchObject({ short: false, keepPage: false, long: wholeLong });
  const [part = ""] = wholeLong.parts;
  expect(readOptions(["--part", part, "--rate", "5"]).long).toMatchObject({ parts: [part], linesPerSecond: 5 });
});

test.each([
  [["--bogus"], /bogus/],
  [["--part", "bogus"], /--part is one of .*, not bogus/],
  [["--rate", "abc"], '--rate is a number, not "abc"'],
  [["--rate", ""], "--rate is a number"],
])("the fault runner does not take %j", (args, message) => {
  expect(() => readOptions(args)).toThrow(message);
});

test("a seed is a whole number", () => {
  expect(readSeed("7", 1)).toBe(7);
  expect(readSeed(undefined, 1)).toBe(1);
  expect(() => readSeed("abc", 1)).toThrow('SEED is a whole number, not "abc"');
});

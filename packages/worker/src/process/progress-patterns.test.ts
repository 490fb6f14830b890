import fc from "fast-check";
import { expect, test } from "vitest";
import { ProgressPatterns, type FoundProgress } from "./progress-patterns.ts";

const items = (done: number, total: number): FoundProgress => ({ done, total, unit: "items" });
const bytes = (done: number, total: number): FoundProgress => ({ done, total, unit: "bytes" });

test.each<[string, string, FoundProgress]>([
  ["a percentage", "Downloading 45%", items(45, 100)],
  ["a percentage with decimals", "  45.3 % done", items(45, 100)],
  ["apt", "\x1b7\x1b[24;0f\x1b[42m\x1b[30mProgress: [ 45%]\x1b[49m\x1b[39m [####....] \x1b8", items(45, 100)],
  ["tqdm", " 45%|\xe2\x96\x88\xe2\x96\x88     | 450/1000 [00:05<00:06, 90.00it/s]", items(450, 1000)],
  ["git", "Receiving objects:  45% (450/1000), 1.20 MiB | 2.40 MiB/s", items(450, 1000)],
  ["ninja", "[12/345] Building CXX object main.o", items(12, 345)],
  ["brackets with spaces", "( 12/345 )", items(12, 345)],
  ["words", "step (3 of 10)", items(3, 10)],
  ["thousands", "[1,200/45,000] files", items(1200, 45_000)],
  ["pip", "   \x1b[90m----\x1b[0m 12.5/50.0 MB 5.6 MB/s eta 0:00:03", bytes(12_500_000, 50_000_000)],
  ["docker", "abc: Downloading [==>  ] 1MiB/4MiB", bytes(1_048_576, 4_194_304)],
  ["wget", "big.iso   45%[====>     ] 1.23M  1.2MB/s  eta 3s", items(45, 100)],
  ["the last match of a line", "10% then 20%", items(20, 100)],
  ["the last of several \\r pieces", "\r 1%\r 2%\r 3%", items(3, 100)],
  ["the newest line that has one", "50%\nworking hard\n", items(50, 100)],
])("%s is understood", (_, text, found) => {
  expect(new ProgressPatterns().look(text)).toEqual(found);
});

test.each([
  "2026/11/21 10:00:00 INFO started",
  "17/06/09 20:10:40 INFO executor",
  "GET /a/1/2 HTTP/1.1",
  "10.0.0.0/24 is a network",
  "see https://example.com/1/2",
  "open 24/7",
  "and/or 5 / x",
  "150% of what is allowed",
  "version 1.2/1.3",
  "the score is 1/3",
  "0/0",
  "1.2 MB/s",
  "\x1b[31m\x1b[1;45H",
  "cafe%C3%BC 24x%26 x",
  'GET /?since=2017-05-16T05%3A54%3A58.530160%2B00%3A00 HTTP/1.1" status: 200',
  "10.0.0.1 - - [22/Nov/2026:10:00:00 +0000] GET /a%20b%2F7%20c%5B12%2F30%5D",
  "%5B3/30%5D (see a%203%2F4)",
  "printf 5 %d of 12 %s",
  "v45% is a name, and so is 45%b",
])("%j is no progress", (text) => {
  expect(new ProgressPatterns().look(text)).toBeUndefined();
});

test("a bare count is believed when it has grown to the same total", () => {
  const patterns = new ProgressPatterns();
  expect(["file 1/30", "11/21 10:00 hello", "file 2/30", "file 3/30"].map((text) => patterns.look(text))).toEqual([
    undefined,
    undefined,
    undefined,
    items(3, 30),
  ]);
});

test("nothing is said twice", () => {
  const patterns = new ProgressPatterns();
  expect(patterns.look("5%")).toEqual(items(5, 100));
  expect(patterns.look("5%")).toBeUndefined();
});

test("a bar begins again when the one before was full", () => {
  const patterns = new ProgressPatterns();
  expect(["98%", "100%", "0%", "1%"].map((text) => patterns.look(text)?.done)).toEqual([98, 100, 0, 1]);
});

test("a bar that was not full begins again when the new one grows, and a single smaller value is no beginning", () => {
  const patterns = new ProgressPatterns();
  expect(["60%", "3%", "61%", "5%", "6%", "7%"].map((text) => patterns.look(text)?.done)).toEqual([
    60,
    undefined,
    61,
    undefined,
    6,
    7,
  ]);
});

test("another total is another bar", () => {
  const patterns = new ProgressPatterns();
  expect(["[9/10]", "[1/500]"].map((text) => patterns.look(text))).toEqual([items(9, 10), items(1, 500)]);
});

test("whatever a program prints, a look ends quickly and what it finds is sound", () => {
  const hostile = fc.array(
    fc.constantFrom(
      "1",
      "9",
      "/",
      ",",
      ".",
      "%",
      " ",
      "(",
      "[",
      "]",
      " of ",
      "\x1b[",
      "\x1b]",
      "\r",
      "\n",
      "B",
      "K",
      "i",
      "é",
    ),
    { maxLength: 4000 },
  );
  fc.assert(
    fc.property(hostile, (parts) => {
      const startedAt = performance.now();
      const found = new ProgressPatterns().look(parts.join(""));
      expect(performance.now() - startedAt).toBeLessThan(500);
      if (!found) return;
      expect(found.total).toBeGreaterThan(0);
      expect(found.done).toBeLessThanOrEqual(found.total);
    }),
  );
});

test.each([
  "1".repeat(1_000_000),
  "1,111".repeat(200_000),
  "(1/".repeat(300_000),
  " ".repeat(1e6),
  "\x1b]".repeat(5e5),
])("a megabyte of the same takes no longer than its last kilobyte (%#)", (text) => {
  const startedAt = performance.now();
  for (let i = 0; i < 20; i++) new ProgressPatterns().look(text);
  expect(performance.now() - startedAt).toBeLessThan(2000);
});

import { expect, test } from "vitest";
import { parseBytes, readSpoolConfig } from "./spool-config.ts";

test("how much a spool may hold is read in powers of 1,024", () => {
  expect([parseBytes("1048576"), parseBytes("500M"), parseBytes("1.5 GiB")]).toEqual([
    1_048_576, 524_288_000, 1_610_612_736,
  ]);
});

test.each([
  ["abc", '"abc" is no number of bytes: write 500M or 2G'],
  ["0", "a spool of 0 is too small: it must hold at least 1M"],
  ["100K", "a spool of 100K is too small: it must hold at least 1M"],
  ["999999999T", "a spool of 999999999T cannot be: give a whole number of bytes, at most 8000T"],
])("a spool cannot hold %s", (text, message) => {
  expect(() => parseBytes(text)).toThrow(message);
  expect(() => readSpoolConfig(undefined, { SIGNALBOX_SPOOL_BYTES: text })).toThrow(message);
});

test("whether there is a spool is on or off, and nothing else", () => {
  expect(readSpoolConfig(undefined, { SIGNALBOX_SPOOL: "off" })).toBeUndefined();
  expect(readSpoolConfig(undefined, { SIGNALBOX_SPOOL: "on" })).toBeDefined();
  expect(() => readSpoolConfig(undefined, { SIGNALBOX_SPOOL: "maybe" })).toThrow(
    `SIGNALBOX_SPOOL is "maybe": it must be 'on' or 'off'`,
  );
  expect(() => readSpoolConfig({ bytes: 1.5 }, {})).toThrow("a spool of 1.5 bytes is too small");
});

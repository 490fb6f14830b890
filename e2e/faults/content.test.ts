import { describe, expect, test } from "vitest";
import { makeContent } from "./content.ts";

describe("the printed lines", () => {
  test("are the same for the same seed and others for another one", () => {
    const [one, same, other] = [makeContent(7), makeContent(7), makeContent(8)];
    for (let number = 1; number <= 500; number++) {
      expect(same.printedAt(number).bytes).toEqual(one.printedAt(number).bytes);
      expect(one.isLine(number, one.printedAt(number).bytes)).toBe(true);
    }
    expect(other.isLine(1, one.printedAt(1).bytes) && other.isLine(2, one.printedAt(2).bytes)).toBe(false);
  });

  test("are mixed: empty ones, bytes that are no UTF-8, kilobytes, and one longer than a piece, cut at 64 KiB", () => {
    const content = makeContent(1);
    const all: Uint8Array[] = [];
    for (let number = 1; number < 4000;) {
      const { bytes, next } = content.printedAt(number);
      all.push(bytes);
      number = next;
    }
    expect(all.some(({ length }) => length === 1)).toBe(true);
    expect(all.some((bytes) => Buffer.from(Buffer.from(bytes).toString()).compare(bytes) !== 0)).toBe(true);
    expect(all.some(({ length }) => length > 2000 && length < 5000)).toBe(true);
    const long = content.printedAt(1500);
    expect([long.next, long.bytes.length > 65_536]).toEqual([1502, true]);
    expect(
      content.isLine(1500, long.bytes.subarray(0, 65_536)) && content.isLine(1501, long.bytes.subarray(65_536)),
    ).toBe(true);
    for (const bytes of all) expect(bytes.indexOf(0x0a)).toBe(bytes.length - 1);
  });

  test("are printable ASCII if a page is to show them", () => {
    const content = makeContent(1, true);
    for (let number = 1; number < 3000; number++)
      expect(Buffer.from(content.printedAt(number).bytes).toString()).toMatch(/^INFO \d+ [ -~]+\n$/);
  });
});

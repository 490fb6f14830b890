import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { judgeableLength, sanitise } from "./sanitise.ts";

const esc = "\u001b";
const dangerous = /(?!\t)[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;
const colors = new RegExp(`${esc}\\[[0-9;:]*m`, "g");

/** Text that is more often than not full of what terminals obey. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        esc,
        "[",
        "]",
        "52;c;",
        "8;;http://x",
        "\u0007",
        `${esc}\\`,
        `${esc}[31m`,
        `${esc}[8m`,
        "\r",
        "\n",
      ),
      fc.constantFrom(
        "\u009b",
        "31m",
        "2J",
        ";",
        "38;5;8",
        "m",
        "\u202e",
        "\u2066",
        "\u0085",
        "\u2028",
        "ä",
        "👩‍🚀",
        "\t",
      ),
      fc.string({ unit: "binary" }),
    ),
    { maxLength: 30 },
  )
  .map((parts) => parts.join(""));

describe("text of others in a terminal", () => {
  test("never holds a control but tab and, where they are wanted, colours", () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(sanitise(text)).not.toMatch(dangerous);
        expect(sanitise(text, true).replaceAll(colors, "")).not.toMatch(dangerous);
      }),
      { numRuns: 2000 },
    );
  });

  test("of any bytes is as harmless", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(sanitise(new TextDecoder().decode(bytes), true).replaceAll(colors, "")).not.toMatch(dangerous);
      }),
      { numRuns: 2000 },
    );
  });

  test("that is harmless stays as it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        fc.pre(!dangerous.test(text));
        expect(sanitise(text)).toBe(text);
        expect(sanitise(text, true)).toBe(text);
      }),
    );
  });

  test.each([
    ["a title", `${esc}]0;owned\u0007x`, "␛]0;owned␇x"],
    ["the clipboard", `${esc}]52;c;cm0gLXJm${esc}\\`, "␛]52;c;cm0gLXJm␛\\"],
    ["a link", `${esc}]8;;http://evil${esc}\\text`, "␛]8;;http://evil␛\\text"],
    ["a cursor move", `a${esc}[2A${esc}[2Kb`, "a␛[2A␛[2Kb"],
    ["an eight-bit sequence", "\u009b31mred", "<U+009B>31mred"],
    ["text that overwrites", "safe\rrm -rf /", "safe␍rm -rf /"],
    ["text that runs backwards", "a\u202egpj.exe", "a<U+202E>gpj.exe"],
    ["hidden text", `${esc}[8mhidden`, "␛[8mhidden"],
    ["colours, where none are wanted", `${esc}[1;31mred${esc}[0m`, "red"],
  ])("shows %s instead of obeying", (_what, text, shown) => {
    expect(sanitise(text)).toBe(shown);
  });

  test("keeps colours where they are wanted, and ends them with the line", () => {
    expect(sanitise(`${esc}[38;5;8mgrey`, true)).toBe(`${esc}[38;5;8mgrey${esc}[0m`);
    expect(sanitise(`${esc}[38;2;5;6;8mrgb`, true)).toBe(`${esc}[38;2;5;6;8mrgb${esc}[0m`);
    expect(sanitise(`${esc}[1;8mhidden`, true)).toBe("␛[1;8mhidden");
  });

  test("waits with a sequence that is not whole yet", () => {
    expect([`ab${esc}`, `ab${esc}[3`, "ab\r", "ab", `ab${esc}[3m`].map(judgeableLength)).toEqual([2, 2, 2, 2, 6]);
  });

  test("takes no longer for broken sequences than for others", () => {
    const text = `${esc}[1;1;1;1;1;1`.repeat(20_000);
    const startedAt = performance.now();
    sanitise(text, true);
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });
});

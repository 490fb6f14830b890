import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytes, compact, clock, duration, exact, percent, plural, rate, shellWords, step, visible } from "./format.ts";

const plain = (text: string) => text.replaceAll("\u00a0", " ");

describe("numbers as people read them", () => {
  test("lists are compact from 20,000 on, subjects are exact", () => {
    expect(
      [0, 1204, 19_999, 20_000, 184_245, 999_499, 999_500, 1_204_000, 12_000_000, 120_000_000].map((n) =>
        plain(compact(n)),
      ),
    ).toEqual(["0", "1,204", "19,999", "20 k", "184 k", "999 k", "1.0 M", "1.2 M", "12.0 M", "120 M"]);
    expect(exact(184_245)).toBe("184,245");
  });
  test("a share is never 100 % before the end", () => {
    expect([0, 0.3812, 0.9999, 1].map((s) => plain(percent(s)))).toEqual(["0.0 %", "38.1 %", "99.9 %", "100 %"]);
  });
  test("rates have one decimal while it says something", () => {
    expect([0, 1e-7, 0.03, 2.44, 12.4, 20, 200, 1204.4].map((r) => plain(rate(r)))).toEqual([
      "0 /s",
      "0.0000001 /s",
      "0.03 /s",
      "2.4 /s",
      "12.4 /s",
      "20 /s",
      "200 /s",
      "1,204 /s",
    ]);
  });
  test("bytes are powers of ten", () => {
    expect([0, 27.088, 999, 999.6, 1000, 38_400_000, 999_960, 120e9].map((b) => plain(bytes(b)))).toEqual([
      "0 B",
      "27 B",
      "999 B",
      "1.0 kB",
      "1.0 kB",
      "38.4 MB",
      "1.0 MB",
      "120 GB",
    ]);
  });
  test("durations keep two units", () => {
    expect([400, 9_949, 9_960, 59_600, 305_000, 7_800_000, 273_600_000].map((ms) => plain(duration(ms)))).toEqual([
      "0.4 s",
      "9.9 s",
      "10 s",
      "1 m 00 s",
      "5 m 05 s",
      "2 h 10 m",
      "3 d 4 h",
    ]);
    expect(plain(step(38.4))).toBe("38 ms");
    expect(plain(step(1234))).toBe("1.2 s");
  });
  test("a moment of another day carries its date", () => {
    const at = new Date(2026, 10, 21, 18, 1, 30).getTime();
    expect(clock(at * 1000, at + 1000)).toBe("18:01:30");
    expect(plain(clock(at * 1000, at + 86_400_000))).toBe("21 Nov 18:01:30");
  });
  test("one is singular", () => {
    expect([0, 1, 2].map((n) => plain(plural(n, "line")))).toEqual(["0 lines", "1 line", "2 lines"]);
  });
});

test("a shell reads the same words back", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary" }).filter((word) => !/[\0\ud800-\udfff]/.test(word))), (words) => {
      const echo = "for (const word of process.argv.slice(1)) console.log(JSON.stringify(word))";
      const line = `${shellWords([process.execPath, "-e", echo, "--", ...words])}`;
      const read = execFileSync("/bin/sh", ["-c", line], { encoding: "utf8" });
      expect(
        read
          .split("\n")
          .slice(0, -1)
          .map((each) => JSON.parse(each) as string),
      ).toEqual(words);
    }),
    { numRuns: 15 },
  );
});

test("text of others shows what would turn it around or could not be seen, and stays as it is otherwise", () => {
  expect(visible("invoice\u202efdp.exe\u202c")).toBe("invoice<U+202E>fdp.exe<U+202C>");
  expect(visible("\u2066a\u200bb\u061c\ufeff\u0007")).toBe("<U+2066>a<U+200B>b<U+061C><U+FEFF><U+0007>");
  for (const plain of ["two lines\n\tof text", "שלום עולם", "نص عربي", "👩‍👩‍👧 नमस्ते क्‍ष"])
    expect(visible(plain)).toBe(plain);
});

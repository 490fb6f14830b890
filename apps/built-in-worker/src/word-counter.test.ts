import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TopWords } from "./top-words.ts";
import { WordCounter } from "./word-counter.ts";

/** What is counted in a whole text, by other means: decoded as UTF-8, cut at what Unicode calls white space. */
function reference(bytes: Uint8Array) {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  return {
    bytes: bytes.length,
    lines: bytes.reduce((lines, byte) => lines + (byte === 0x0a ? 1 : 0), 0),
    words: text.split(/\p{White_Space}+/u).filter(Boolean),
  };
}

function pieces(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length] ?? 1;
    all.push(bytes.subarray(at, at + length));
    at += length;
  }
  return all;
}

function counted(bytes: Uint8Array, lengths: readonly number[]) {
  const counter = new WordCounter();
  const top = new TopWords();
  for (const piece of pieces(bytes, lengths)) {
    counter.add(piece);
    top.add(piece);
  }
  counter.end();
  top.end();
  return { counter, top };
}

function expectCounts(bytes: Uint8Array, lengths: readonly number[]): void {
  const { words, ...wanted } = reference(bytes);
  const { counter, top } = counted(bytes, lengths);
  expect({ bytes: counter.bytes, lines: counter.lines, words: counter.words }).toEqual({
    ...wanted,
    words: words.length,
  });
  const short = words.filter(({ length }) => length <= 100);
  expect(top.most(100_000).reduce((sum, [, count]) => sum + count, 0)).toBe(short.length);
}

const lengths = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });

describe("the word counter", () => {
  test("counts random bytes as the reference does, wherever they are cut", () => {
    // Bytes of white space beyond ASCII, whole and broken, come much more often than by chance.
    const byte = fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(0xc2, 0x85, 0xa0, 0xe1, 0x9a, 0x80, 0xe2, 0x81, 0x9f, 0xe3, 0xa8, 0x8a, 0x20, 0x0a, 0x61, 0xf0),
    );
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 60 }), lengths, (bytes, cuts) =>
        expectCounts(Uint8Array.from(bytes), cuts),
      ),
      { numRuns: 2000 },
    );
  });

  test("counts random text as the reference does, wherever it is cut", () => {
    const char = fc.oneof(
      fc.constantFrom(..." \n\r\t\u00a0\u0085\u1680\u2000\u200a\u200b\u2028\u202f\u205f\u3000\ufeffaé£€漢😀"),
      fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
    );
    fc.assert(
      fc.property(fc.array(char, { maxLength: 60 }), lengths, (chars, cuts) =>
        expectCounts(Buffer.from(chars.join("")), cuts),
      ),
      { numRuns: 2000 },
    );
  });

  test("counts each character of white space alone", () => {
    for (let code = 0; code < 0x3100; code++)
      if (code < 0xd800) expectCounts(Buffer.from(`a${String.fromCodePoint(code)}b`), [1]);
  });

  test("counts a real text as the reference does", async () => {
    const text = await readFile(fileURLToPath(new URL("../../../docs/architecture.md", import.meta.url)));
    expectCounts(text, [1000, 7]);
  });
});

describe("the most frequent words", () => {
  test("come in order, those with the same count by their text", () => {
    const { top } = counted(Buffer.from("b a c a b a\nthe-end c"), [3]);
    expect(top.most(3)).toEqual([
      ["a", 3],
      ["b", 2],
      ["c", 2],
    ]);
    expect(top.lowBy).toBe(0);
  });

  test("are found among more different words than are kept, with how much too low a count may be", () => {
    const top = new TopWords();
    for (let i = 0; i < 250_000; i++) top.add(Buffer.from(i % 5 === 0 ? `often w${i} ` : `w${i} `));
    top.end();
    const [[word, count] = ["", 0]] = top.most(1);
    expect(word).toBe("often");
    expect(count).toBeLessThanOrEqual(50_000);
    expect(count + top.lowBy).toBeGreaterThanOrEqual(50_000);
    expect(top.lowBy).toBeGreaterThan(0);
  });

  test("do not hold a word without end in memory", () => {
    const top = new TopWords();
    for (let i = 0; i < 1000; i++) top.add(Buffer.from("x".repeat(10_000)));
    top.add(Buffer.from(" y"));
    top.end();
    expect(top.most(5)).toEqual([["y", 1]]);
  });
});

import { MAX_PIECE_BYTES } from "@signalbox/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LineSplitter, PARTIAL_MS, wholeSequences } from "./line-splitter.ts";

interface Piece {
  readonly bytes: Buffer;
  readonly continues: boolean;
  readonly timeMs: number;
}

function split(write: (splitter: LineSplitter) => void): Piece[] {
  const pieces: Piece[] = [];
  write(new LineSplitter((bytes, continues, timeMs) => pieces.push({ bytes: Buffer.from(bytes), continues, timeMs })));
  return pieces;
}

/** Bytes of all kinds: text with newlines, invalid UTF-8, long runs without a newline. */
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc
    .array(fc.constantFrom("a", "\n", "\r\n", "ä", "€", "𝄞", "\0"), { maxLength: 60 })
    .map((parts) => Buffer.from(parts.join(""))),
  fc
    .tuple(fc.integer({ min: 65_000, max: 140_000 }), fc.constantFrom("x", "€", "𝄞"))
    .map(([length, fill]) => Buffer.alloc(length, fill)),
);
type Step = { kind: "write"; bytes: Uint8Array } | { kind: "wait"; ms: number };
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: anyBytes.map((bytes) => ({ kind: "write" as const, bytes })) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 250 }).map((ms) => ({ kind: "wait" as const, ms })) },
  ),
  { maxLength: 12 },
);

describe("a line splitter", () => {
  test("gives back exactly the bytes it was given, in pieces within limits, however they arrive", () => {
    fc.assert(
      fc.property(steps, (input) => {
        const pieces = split((splitter) => {
          let nowMs = 0;
          for (const step of input) {
            if (step.kind === "wait") splitter.cutExpired((nowMs += step.ms));
            else splitter.write(step.bytes, nowMs);
          }
          splitter.cut();
        });
        const written = Buffer.concat(input.flatMap((step) => (step.kind === "write" ? [step.bytes] : [])));
        expect(Buffer.concat(pieces.map(({ bytes }) => bytes)).equals(written)).toBe(true);
        let open = false;
        for (const { bytes, continues } of pieces) {
          expect(bytes.length).toBeGreaterThan(0);
          expect(bytes.length).toBeLessThanOrEqual(MAX_PIECE_BYTES);
          expect([-1, bytes.length - 1]).toContain(bytes.indexOf("\n"));
          expect(continues).toBe(open);
          open = bytes.at(-1) !== 0x0a;
        }
      }),
    );
  });

  test("makes the same pieces of the same bytes however they are split, if no time passes", () => {
    fc.assert(
      fc.property(fc.array(anyBytes, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 8 }), (parts, cuts) => {
        const whole = Buffer.concat(parts);
        const places = [0, ...cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b), whole.length];
        const once = split((splitter) => {
          splitter.write(whole, 0);
          splitter.cut();
        });
        const often = split((splitter) => {
          for (let i = 1; i < places.length; i++) splitter.write(whole.subarray(places[i - 1], places[i]), 0);
          splitter.cut();
        });
        expect(often.map(({ bytes }) => bytes.length)).toEqual(once.map(({ bytes }) => bytes.length));
      }),
    );
  });

  test("never cuts a long line inside a UTF-8 sequence", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("é", "€", "𝄞"),
        fc.nat({ max: 3 }),
        fc.integer({ min: 1, max: 5000 }),
        (character, shift, step) => {
          const text = Buffer.from("x".repeat(shift) + character.repeat(60_000));
          const pieces = split((splitter) => {
            for (let at = 0; at < text.length; at += step) splitter.write(text.subarray(at, at + step), 0);
            splitter.cut();
          });
          expect(pieces.length).toBeGreaterThan(1);
          for (const { bytes } of pieces) expect(bytes.toString()).not.toContain("\uFFFD");
        },
      ),
      { numRuns: 20 },
    );
  });

  test("lets bytes without a newline go 100 ms after the first of them", () => {
    const pieces = split((splitter) => {
      splitter.write(Buffer.from("50%"), 1000);
      splitter.write(Buffer.from("\r51%"), 1060);
      splitter.cutExpired(1000 + PARTIAL_MS - 1);
      expect(splitter.expiresAtMs).toBe(1100);
      splitter.cutExpired(1000 + PARTIAL_MS);
      splitter.write(Buffer.from("\rdone\n"), 1200);
    });
    expect(pieces.map(({ bytes, continues, timeMs }) => [bytes.toString(), continues, timeMs])).toEqual([
      ["50%\r51%", false, 1000],
      ["\rdone\n", true, 1200],
    ]);
  });

  test("holds the beginning of a character back once, and no longer", () => {
    const euro = Buffer.from("€");
    const pieces = split((splitter) => {
      splitter.write(Buffer.concat([Buffer.from("price "), euro.subarray(0, 2)]), 0);
      splitter.cutExpired(100);
      splitter.cutExpired(199);
      expect(splitter.expiresAtMs).toBe(200);
      splitter.cutExpired(200);
    });
    expect(pieces.map(({ bytes }) => bytes)).toEqual([Buffer.from("price "), euro.subarray(0, 2)]);
  });

  test("begins a new line after unfinished bytes if it is told to", () => {
    const pieces = split((splitter) => {
      splitter.write(Buffer.from("unfinished"), 0);
      splitter.startLine();
      splitter.write(Buffer.from("new\n"), 0);
    });
    expect(pieces.map(({ bytes, continues }) => [bytes.toString(), continues])).toEqual([
      ["unfinished", false],
      ["new\n", false],
    ]);
  });
});

test("only an incomplete sequence at the end is held back", () => {
  const cases: [number[], number][] = [
    [[0x61, 0xe2, 0x82], 1],
    [[0x61, 0xe2, 0x82, 0xac], 4],
    [[0xe2, 0x82], 2],
    [[0x61, 0x80, 0x80, 0x80, 0x80], 5],
    [[0x61, 0xf0], 1],
    [[0x61], 1],
    [[], 0],
  ];
  for (const [bytes, whole] of cases) expect(wholeSequences(Uint8Array.from(bytes))).toBe(whole);
});

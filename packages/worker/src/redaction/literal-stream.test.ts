import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LiteralAutomaton } from "./literal-automaton.ts";
import { LiteralStream } from "./literal-stream.ts";
import { MARK, MAX_LITERAL_BYTES } from "./mark.ts";

/** The whole text with every byte of every occurrence masked, as plainly as it can be said. */
function maskedAtOnce(text: Buffer, literals: readonly Buffer[]): string {
  const covered = new Uint8Array(text.length);
  for (const literal of literals)
    for (let at = text.indexOf(literal); at >= 0; at = text.indexOf(literal, at + 1))
      covered.fill(1, at, at + literal.length);
  let out = "";
  let isMasking = false;
  for (const [i, byte] of text.entries()) {
    const isLineEnd = byte === 10 || byte === 13;
    if (covered[i] !== 1 || isLineEnd) out += String.fromCharCode(byte);
    else if (!isMasking) out += MARK;
    isMasking = covered[i] === 1 && !isLineEnd;
  }
  return out;
}

function open(literals: readonly Uint8Array[]) {
  const automaton = literals.length > 0 ? new LiteralAutomaton(literals) : undefined;
  const parts: Buffer[] = [];
  let count = 0;
  const stream = new LiteralStream({ pass: (bytes) => parts.push(Buffer.from(bytes)), masked: () => count++ });
  return {
    stream,
    write: (bytes: Uint8Array, nowMs = 0) => stream.write(bytes, nowMs, automaton),
    text: () => Buffer.concat(parts).toString("latin1"),
    marks: () => count,
  };
}

/** Cuts bytes at these places, which count from the cut before. */
function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const parts: Buffer[] = [];
  let at = 0;
  for (const length of lengths) {
    parts.push(bytes.subarray(at, at + length));
    at += length;
  }
  return [...parts, bytes.subarray(at)];
}

// Few characters, so that literals overlap, hold each other, and begin again inside of themselves.
const letters = fc.string({ unit: fc.constantFrom("a", "b", "c", "\n"), maxLength: 60 });
const literal = fc.string({ unit: fc.constantFrom("a", "b", "c", "\n"), minLength: 2, maxLength: 8 });
const lengths = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 40 });

describe("a stream of bytes with secrets in it", () => {
  test("is masked alike however it is cut into writes, and holds back no more than a beginning", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(letters, literal), { maxLength: 12 }),
        fc.array(literal, { minLength: 1, maxLength: 5 }),
        lengths,
        (texts, literals, cuts) => {
          const text = Buffer.from(texts.join(""));
          const needles = literals.map((each) => Buffer.from(each));
          const { stream, write, text: masked } = open(needles);
          for (const part of cut(text, cuts)) {
            write(part);
            expect(stream.heldBytes).toBeLessThan(Math.max(...needles.map(({ length }) => length)));
          }
          stream.release();
          expect(masked()).toBe(maskedAtOnce(text, needles));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("is masked at every cut into two, with other text around it", () => {
    const secret = Buffer.from("hunter2-hunter2-\0€");
    const text = Buffer.concat([Buffer.from("\x1b[31mhunter2"), secret, Buffer.from("\x1b[0m hunt\n")]);
    for (let at = 0; at <= text.length; at++) {
      const { write, stream, text: masked, marks } = open([secret]);
      write(text.subarray(0, at));
      write(text.subarray(at));
      stream.release();
      expect(masked()).toBe(`\x1b[31mhunter2${MARK}\x1b[0m hunt\n`);
      expect(marks()).toBe(1);
    }
  });

  test("passes byte for byte and at once when there is no secret in it, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }), (writes) => {
        const { write, stream, text } = open([Buffer.from("\0correct horse\xff"), Buffer.from("battery staple")]);
        let written = "";
        for (const bytes of writes) {
          write(bytes);
          written += Buffer.from(bytes).toString("latin1");
          expect(text()).toBe(written.slice(0, written.length - stream.heldBytes));
          const heldBack = written.slice(written.length - stream.heldBytes);
          expect(["\0correct horse", "battery staple"].some((each) => each.startsWith(heldBack))).toBe(true);
        }
      }),
    );
  });

  test("holds back 4 KiB at most, of the longest literal there may be", () => {
    const secret = Buffer.alloc(MAX_LITERAL_BYTES, "x").fill("y", MAX_LITERAL_BYTES - 1);
    const { write, stream, text } = open([secret]);
    let most = 0;
    for (let i = 0; i < 300; i++) {
      write(Buffer.alloc(100, "x"));
      most = Math.max(most, stream.heldBytes);
    }
    expect(most).toBe(MAX_LITERAL_BYTES - 1);
    write(Buffer.from("y"));
    expect(stream.heldBytes).toBe(0);
    expect(text()).toBe("x".repeat(300 * 100 - MAX_LITERAL_BYTES + 1) + MARK);
  });

  test("masks the rest of a secret whose beginning had to be let go", () => {
    const { write, stream, text } = open([Buffer.from("hunter2hunter2")]);
    write(Buffer.from("> hunter"), 10);
    expect(text()).toBe("> ");
    expect(stream.heldSinceMs).toBe(10);
    stream.release();
    expect(text()).toBe("> hunter");
    expect(stream.heldSinceMs).toBeUndefined();
    write(Buffer.from("2hunter2, as ever"));
    expect(text()).toBe(`> hunter${MARK}, as ever`);
  });

  test("knows a secret that is learned while its beginning is held back", () => {
    const parts: Buffer[] = [];
    const stream = new LiteralStream({ pass: (bytes) => parts.push(Buffer.from(bytes)), masked: () => undefined });
    const first = Buffer.from("hunter2hunter2");
    stream.write(Buffer.from("it is hunter2"), 0, new LiteralAutomaton([first]));
    stream.write(Buffer.from("000, clearly"), 0, new LiteralAutomaton([first, Buffer.from("hunter2000")]));
    expect(Buffer.concat(parts).toString()).toBe(`it is ${MARK}, clearly`);
  });
});

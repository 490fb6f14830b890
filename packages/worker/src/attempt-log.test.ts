import { create, fromBinary } from "@bufbuild/protobuf";
import {
  ChunkBodySchema,
  chunkFault,
  ChunkHeaderSchema,
  ChunkLines,
  Level,
  LogChunkSchema,
  Source,
} from "@signalbox/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AttemptLog, FLUSH_BYTES } from "./attempt-log.ts";
import { systemClock } from "./clock.ts";
import { LineBudget } from "./line-budget.ts";

function openLog(budget = new LineBudget()): AttemptLog {
  return new AttemptLog({ budget, clock: systemClock, onRoom: () => undefined });
}

interface Line {
  readonly number: number;
  readonly text: string;
  readonly level: Level;
  readonly source: Source;
  readonly continues: boolean;
  readonly fields: Record<string, string>;
}

/** Takes and acknowledges everything that is due, like a server without delay. */
function deliver(log: AttemptLog, credit = Infinity): { bytes: Buffer; lines: Line[]; chunks: number } {
  const blobs: Uint8Array[] = [];
  const lines: Line[] = [];
  let chunks = 0;
  for (let run = log.take(credit); run; run = log.take(credit)) {
    if (run.kind !== "chunk") throw new Error("a gap");
    const body = fromBinary(ChunkBodySchema, run.bytes);
    expect(chunkFault(body)).toBeUndefined();
    const chunk = new ChunkLines(create(LogChunkSchema, { header: create(ChunkHeaderSchema), body }));
    for (let i = 0; i < chunk.count; i++)
      lines.push({
        number: chunk.firstLine + i,
        text: Buffer.from(chunk.bytes(i)).toString(),
        level: chunk.level(i),
        source: chunk.source(i),
        continues: chunk.continues(i),
        fields: { ...chunk.attributes(i)?.fields },
      });
    blobs.push(body.blob);
    chunks++;
    log.ack(chunk.nextLine);
  }
  return { bytes: Buffer.concat(blobs), lines, chunks };
}

describe("the log of an attempt", () => {
  test("delivers exactly the bytes of each source, under dense numbers", () => {
    const part = fc.tuple(
      fc.constantFrom(Source.STDOUT, Source.STDERR, Source.TASK),
      fc.oneof(
        fc.uint8Array({ maxLength: 50 }),
        fc.array(fc.constantFrom("a", "\n", "€", "\0"), { maxLength: 20 }).map((each) => Buffer.from(each.join(""))),
        fc.integer({ min: 1, max: 200_000 }).map((length) => Buffer.alloc(length, "€")),
      ),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const log = openLog();
        log.startStreaming(1);
        const pieces: Line[] = [];
        for (const [source, bytes] of parts) {
          log.write(bytes, source);
          pieces.push(...deliver(log).lines);
        }
        log.close();
        pieces.push(...deliver(log).lines);
        expect(pieces.map(({ number }) => number)).toEqual(pieces.map((_, i) => i + 1));
        expect(log.isDrained).toBe(true);
        for (const source of [Source.STDOUT, Source.STDERR, Source.TASK]) {
          const written = Buffer.concat(parts.filter(([each]) => each === source).map(([, bytes]) => bytes));
          const text = pieces
            .filter((piece) => piece.source === source)
            .map((piece) => piece.text)
            .join("");
          expect(text).toBe(written.toString());
        }
      }),
      { numRuns: 60 },
    );
  });

  test.each([
    ["NUL", Buffer.from("a\0b\n\0")],
    ["invalid UTF-8", Buffer.from([0xff, 0xfe, 0x0a, 0xc3, 0x28, 0x80])],
    ["a line of 5 MB", Buffer.from(`${"0123456789".repeat(500_000)}\n`)],
    ["no newline at all", Buffer.from("x".repeat(300_000))],
    ["CRLF and a missing final newline", Buffer.from("one\r\ntwo\r\nthree")],
    ["nothing but newlines", Buffer.alloc(100_000, "\n")],
  ])("delivers %s byte for byte", (_, bytes) => {
    const log = openLog();
    log.startStreaming(1);
    for (let at = 0; at < bytes.length; at += 65_537) log.write(bytes.subarray(at, at + 65_537), Source.STDOUT);
    log.close();
    expect(deliver(log).bytes.equals(bytes)).toBe(true);
  });

  test("makes more lines of text with newlines, with fields on the first", () => {
    const log = openLog();
    log.startStreaming(1);
    log.line(Level.WARN, "a\nb", { code: 7, missing: undefined }, Source.TASK);
    log.line(Level.INFO, "", undefined, Source.TASK);
    log.close();
    expect(deliver(log).lines).toMatchObject([
      { number: 1, text: "a\n", level: Level.WARN, fields: { code: "7" } },
      { number: 2, text: "b\n", level: Level.WARN, fields: {} },
      { number: 3, text: "\n", level: Level.INFO },
    ]);
  });

  test("keeps a line apart from unfinished bytes of the same source", () => {
    const log = openLog();
    log.startStreaming(1);
    log.write(Buffer.from("50%"), Source.TASK);
    log.line(Level.INFO, "done", undefined, Source.TASK);
    log.close();
    expect(deliver(log).lines).toMatchObject([
      { text: "50%", continues: false, level: Level.UNSPECIFIED },
      { text: "done\n", continues: false, level: Level.INFO },
    ]);
  });

  test("drops what is below its level before it gets a number, but never raw bytes", () => {
    const log = openLog();
    log.startStreaming(1);
    log.lowestLevel = Level.WARN;
    log.line(Level.INFO, "no", undefined, Source.TASK);
    log.write(Buffer.from("raw\n"), Source.STDOUT);
    log.line(Level.WARN, "yes", undefined, Source.TASK);
    log.close();
    expect(deliver(log).lines.map(({ number, text }) => [number, text])).toEqual([
      [1, "raw\n"],
      [2, "yes\n"],
    ]);
  });

  test("sends the first line at once and the next ones with its acknowledgement", () => {
    const log = openLog();
    log.startStreaming(1);
    log.line(Level.INFO, "1", undefined, Source.TASK);
    expect(log.take(1e6)).toMatchObject({ firstLine: 1, lineCount: 1 });
    log.line(Level.INFO, "2", undefined, Source.TASK);
    log.line(Level.INFO, "3", undefined, Source.TASK);
    expect(log.take(1e6)).toBeUndefined();
    log.ack(2);
    expect(log.take(1e6)).toMatchObject({ firstLine: 2, lineCount: 2 });
    log.discard();
  });

  test("sends 64 KiB without waiting for an acknowledgement", () => {
    const log = openLog();
    log.startStreaming(1);
    log.line(Level.INFO, "1", undefined, Source.TASK);
    log.take(1e6);
    while (log.bytes < FLUSH_BYTES + 1000) log.line(Level.INFO, "x".repeat(100), undefined, Source.TASK);
    expect(log.take(1e6)).toMatchObject({ firstLine: 2 });
    log.discard();
  });

  test("sends what waits for an acknowledgement after 20 ms, and rings for it", async () => {
    const log = openLog();
    log.startStreaming(1);
    log.line(Level.INFO, "1", undefined, Source.TASK);
    log.take(1e6);
    log.line(Level.INFO, "2", undefined, Source.TASK);
    const started = performance.now();
    while (log.take(1e6) === undefined) await log.ready.wait({ ms: 1000 });
    expect(performance.now() - started).toBeGreaterThan(15);
    expect(performance.now() - started).toBeLessThan(200);
    log.discard();
  });

  test("lets a prompt without a newline go after 100 ms", async () => {
    const log = openLog();
    log.startStreaming(1);
    log.write(Buffer.from("Continue? "), Source.STDOUT);
    const started = performance.now();
    while (log.nextLine === 1) await log.ready.wait({ ms: 1000 });
    expect(performance.now() - started).toBeGreaterThan(95);
    expect(performance.now() - started).toBeLessThan(300);
    log.discard();
  });

  test("counts what it holds against the worker's budget until it is acknowledged", () => {
    const budget = new LineBudget({ boundBytes: 10_000 });
    const log = openLog(budget);
    const quiet = openLog(budget);
    quiet.line(Level.INFO, "quiet", undefined, Source.TASK);
    log.startStreaming(1);
    const line = "x".repeat(999);
    while (!budget.isFull) log.line(Level.INFO, line, undefined, Source.TASK);
    expect(log.isOver).toBe(false);
    while (!log.isOver) log.line(Level.INFO, line, undefined, Source.TASK);
    expect(budget.bytes).toBeGreaterThanOrEqual(20_000);
    expect(budget.bytes).toBeLessThan(22_000);
    expect(quiet.isOver).toBe(false);
    deliver(log);
    expect(budget.isFull).toBe(false);
    log.close();
    quiet.discard();
    expect(budget.bytes).toBe(0);
  });

  test("bounds the fields of a line", () => {
    const log = openLog();
    log.startStreaming(1);
    log.line(Level.INFO, "x".repeat(70_000), { huge: "y".repeat(1_000_000), more: "z" }, Source.TASK);
    log.close();
    const { lines } = deliver(log);
    expect(lines.map(({ text }) => text.length)).toEqual([65_536, 4465]);
    expect(lines[0]?.fields.huge).toMatch(/^y+…$/);
    expect(lines[0]?.fields.huge?.length).toBeLessThan(9000);
  });
});

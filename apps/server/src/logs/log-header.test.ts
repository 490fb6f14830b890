import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ChunkBodySchema,
  ChunkBuilder,
  ChunkLines,
  Level,
  LogChunkSchema,
  LogEntrySchema,
  Source,
  type ChunkBody,
  type LineInfo,
} from "@signalbox/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { describeChunk } from "./header.ts";
import { emptyMark, encodeChunkEntry, readFirstLine, readMark } from "./log-entry.ts";

const sender = { incarnation: "a".repeat(16), clockOffsetUs: 5_000 };

function body(
  lines: readonly (readonly [string, LineInfo])[],
  firstLine = 1,
): { body: ChunkBody; encoded: Uint8Array } {
  const builder = new ChunkBuilder();
  for (const [text, info] of lines) builder.add(Buffer.from(text), info);
  const encoded = builder.build(firstLine);
  return { body: fromBinary(ChunkBodySchema, encoded), encoded };
}

describe("the header that the server writes", () => {
  test("detects levels where the worker gave none, and keeps those it gave", () => {
    const chunk = body([
      ["ERROR broken\n", { timeUs: 1 }],
      ["ERROR only in words\n", { timeUs: 2, level: Level.DEBUG }],
      ["nothing to see\n", { timeUs: 3 }],
    ]);
    const { header } = describeChunk(chunk.body, emptyMark(), sender, 9);
    const lines = new ChunkLines(create(LogChunkSchema, { header, body: chunk.body }));
    expect([0, 1, 2].map((i) => [lines.level(i), lines.levelDetected(i)])).toEqual([
      [Level.ERROR, true],
      [Level.DEBUG, false],
      [Level.UNSPECIFIED, false],
    ]);
    expect(header.levelCounts).toEqual([1, 0, 1, 0, 0, 1, 0]);
  });

  test("gives a continuing piece the level of the newest piece of its source, across chunks, and does not count it again", () => {
    const first = body([
      ["WARN begins", { timeUs: 1, source: Source.STDERR }],
      ["INFO other\n", { timeUs: 1, source: Source.STDOUT }],
    ]);
    const { mark } = describeChunk(first.body, emptyMark(), sender, 9);
    const second = body([[" and goes on\n", { timeUs: 2, source: Source.STDERR, continues: true }]], 3);
    const { header, mark: after } = describeChunk(second.body, mark, sender, 9);
    const lines = new ChunkLines(create(LogChunkSchema, { header, body: second.body }));
    expect(lines.level(0)).toBe(Level.WARN);
    expect(header.levelCounts).toEqual([0, 0, 0, 0, 0, 0, 0]);
    expect(after.levelCounts).toEqual([0n, 0n, 0n, 1n, 1n, 0n, 0n]);
  });

  test("has order times on the server's clock that never fall from one chunk to the next", () => {
    const early = describeChunk(body([["a\n", { timeUs: 1_000_000 }]]).body, emptyMark(), sender, 9);
    expect([early.header.orderFirstUs, early.header.orderLastUs, early.mark.orderUs]).toEqual([
      1_005_000n,
      1_005_000n,
      1_005_000n,
    ]);
    const back = describeChunk(body([["b\n", { timeUs: 10 }]], 2).body, early.mark, sender, 9);
    expect([back.header.orderFloorUs, back.header.orderFirstUs, back.mark.orderUs]).toEqual([
      1_005_000n,
      1_005_000n,
      1_005_000n,
    ]);
  });
});

test("an entry put together from the worker's bytes is the entry that encoding the whole message gives", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 400 }), { minLength: 1, maxLength: 300 }),
      fc.integer({ min: 1, max: 2 ** 45 }),
      fc.integer({ min: -(2 ** 50), max: 2 ** 50 }),
      fc.array(fc.bigInt({ min: 0n, max: 2n ** 53n }), { minLength: 9, maxLength: 9 }),
      (texts, firstLine, clockOffsetUs, [blobBytes = 0n, missingLines = 0n, ...levelCounts]) => {
        const { body: decoded, encoded } = body(
          texts.map((text, i) => [`${text.replaceAll("\n", " ")}\n`, { timeUs: 1_700_000_000_000_000 + i }]),
          firstLine,
        );
        const { header, mark } = describeChunk(
          decoded,
          { ...emptyMark(), blobBytes, missingLines, levelCounts },
          { ...sender, clockOffsetUs },
          1_700_000_000_000_000,
        );
        const nextLine = firstLine + texts.length;
        const entry = new Uint8Array(Buffer.concat(encodeChunkEntry(nextLine, header, encoded, mark)));
        const whole = create(LogEntrySchema, {
          nextLine: BigInt(nextLine),
          entry: { case: "chunk", value: { header, body: decoded } },
          mark,
        });
        expect(Buffer.compare(entry, toBinary(LogEntrySchema, whole))).toBe(0);
        expect(readFirstLine(entry)).toBe(firstLine);
        expect(readMark(entry)).toEqual(mark);
      },
    ),
  );
});

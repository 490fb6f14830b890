import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ChunkBodySchema,
  ChunkBuilder,
  ChunkLines,
  GapCause,
  Level,
  LogEntrySchema,
  Source,
  type LogEntry,
} from "@signalbox/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { cutLines, nextLineAt } from "./next-lines.ts";

/** What a line says, wherever it stands. */
const told = (lines: ChunkLines, index: number) => ({
  line: lines.firstLine + index,
  text: Buffer.from(lines.bytes(index)).toString(),
  level: lines.level(index),
  source: lines.source(index),
  timeUs: lines.orderTimeUs(index),
  fields: lines.attributes(index)?.fields,
});

const chunksOf = (entries: readonly LogEntry[]) =>
  entries.flatMap(({ entry }) => (entry.case === "chunk" ? [entry.value] : []));

const part = fc.oneof(
  fc.record({ kind: fc.constant("gap" as const), lines: fc.integer({ min: 1, max: 1_000 }) }),
  fc.record({
    kind: fc.constant("chunk" as const),
    lines: fc.array(
      fc.record({
        text: fc.string({ maxLength: 8 }),
        level: fc.constantFrom(Level.DEBUG, Level.INFO, Level.ERROR),
        timeUs: fc.integer({ min: 1_000_000, max: 1_400_000 }),
        hasFields: fc.boolean(),
      }),
      { minLength: 1, maxLength: 12 },
    ),
  }),
);

function stored(parts: readonly (typeof part extends fc.Arbitrary<infer T> ? T : never)[]) {
  let next = 1;
  return parts.map((each) => {
    const first = next;
    if (each.kind === "gap") {
      next += each.lines;
      const value = { firstLine: BigInt(first), lineCount: BigInt(each.lines), cause: GapCause.DROPPED_OLDEST };
      return create(LogEntrySchema, { nextLine: BigInt(next), entry: { case: "gap", value } });
    }
    const builder = new ChunkBuilder();
    for (const { text, level, timeUs, hasFields } of each.lines)
      builder.add(Buffer.from(`${text.replaceAll("\n", "")}\n`), {
        ...{ timeUs, level, source: Source.TASK },
        ...(hasFields ? { fields: { text } } : {}),
      });
    next += each.lines.length;
    const body = fromBinary(ChunkBodySchema, builder.build(first));
    const header = {
      ...{ firstLine: BigInt(first), nextLine: BigInt(next), clockOffsetUs: 7n, orderFloorUs: 1_200_000n },
      detectedLevels: body.lineFlags,
      blobBytes: body.blob.length,
    };
    return create(LogEntrySchema, { nextLine: BigInt(next), entry: { case: "chunk", value: { header, body } } });
  });
}

test("lines that are cut out of stored entries a few at a time are the same lines, each once, with the same times, levels and fields", () => {
  fc.assert(
    fc.property(
      fc.array(part, { minLength: 1, maxLength: 6 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (parts, sizes) => {
        const entries = stored(parts);
        const encoded = entries.map((entry) => toBinary(LogEntrySchema, entry));
        const end = Number(entries.at(-1)?.nextLine ?? 1n);
        const cuts: LogEntry[] = [];
        for (let next = 1; next < end;) {
          const most = sizes.next().value as number;
          const cut = cutLines(encoded, next, most);
          expect([cut.firstLine, cut.count >= 1, cut.count <= most]).toEqual([next, true, true]);
          expect(Number(cut.entries.at(-1)?.nextLine)).toBe(cut.nextLine);
          next = cut.nextLine;
          cuts.push(...cut.entries);
        }
        const all = (from: readonly LogEntry[]) =>
          chunksOf(from).flatMap((chunk) => {
            const lines = new ChunkLines(chunk);
            return Array.from({ length: lines.count }, (_, index) => told(lines, index));
          });
        expect(all(cuts)).toEqual(all(entries));
        for (const { header, body } of chunksOf(cuts)) {
          expect([header?.firstLine, header?.blobBytes]).toEqual([body?.firstLine, body?.blob.length]);
        }
        const gaps = (from: readonly LogEntry[]) =>
          from.flatMap(({ entry }) => (entry.case === "gap" ? [entry.value] : []));
        expect(gaps(cuts)).toEqual(gaps(entries));
      },
    ),
  );
});

test("what fits into two seconds comes in order; beyond, the newest second's lines come next", () => {
  expect(nextLineAt(10, 5, 25)).toBe(5);
  expect(nextLineAt(10, 5, 26)).toBe(16);
  expect(nextLineAt(0.2, 5, 6)).toBe(5);
  expect(nextLineAt(0.2, 5, 100)).toBe(99);
});

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addRawMessages,
  ChunkBodySchema,
  ChunkBuilder,
  chunkFault,
  ChunkHeaderSchema,
  ChunkLines,
  dropLines,
  Level,
  LogChunkSchema,
  LogDeliverySchema,
  LogEntrySchema,
  MAX_CHUNK_BYTES,
  MAX_PIECE_BYTES,
  Source,
  type ChunkBody,
  type LineInfo,
} from "./index.ts";

/** A piece: any bytes without a newline, then perhaps one. */
const piece = fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.boolean()).map(([bytes, ends]) => {
  const text = bytes.map((byte) => (byte === 0x0a ? 0x0b : byte));
  return ends || text.length === 0 ? Uint8Array.of(...text, 0x0a) : text;
});
const info: fc.Arbitrary<LineInfo> = fc.record({
  timeUs: fc.integer({ min: 1_700_000_000_000_000, max: 1_700_000_900_000_000 }),
  level: fc.constantFrom(Level.UNSPECIFIED, Level.TRACE, Level.DEBUG, Level.INFO, Level.WARN, Level.ERROR, Level.FATAL),
  source: fc.constantFrom(Source.STDOUT, Source.STDERR, Source.TASK, Source.SYSTEM),
  continues: fc.boolean(),
  fields: fc.dictionary(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), { maxKeys: 2 }),
});
const lines = fc.array(fc.tuple(piece, info), { minLength: 1, maxLength: 60 });

function build(input: readonly (readonly [Uint8Array, LineInfo])[], firstLine = 1): ChunkBody {
  const builder = new ChunkBuilder();
  for (const [bytes, about] of input) expect(builder.add(bytes, about)).toBe(true);
  return fromBinary(ChunkBodySchema, builder.build(firstLine));
}

function read(body: ChunkBody): ChunkLines {
  return new ChunkLines(create(LogChunkSchema, { header: create(ChunkHeaderSchema), body }));
}

describe("a chunk", () => {
  test("gives back every line as it was added", () => {
    fc.assert(
      fc.property(lines, fc.integer({ min: 1, max: 2 ** 40 }), (input, firstLine) => {
        const body = build(input, firstLine);
        expect(chunkFault(body)).toBeUndefined();
        const chunk = read(body);
        expect([chunk.firstLine, chunk.count, chunk.nextLine]).toEqual([
          firstLine,
          input.length,
          firstLine + input.length,
        ]);
        input.forEach(([bytes, about], i) => {
          expect(Buffer.compare(chunk.bytes(i), bytes)).toBe(0);
          expect(chunk.workerTimeUs(i)).toBe(about.timeUs);
          expect([chunk.level(i), chunk.source(i), chunk.continues(i)]).toEqual([
            about.level,
            about.source,
            about.continues,
          ]);
          expect(chunk.attributes(i)?.fields ?? {}).toEqual(about.fields ?? {});
        });
        expect(Buffer.concat(input.map(([bytes]) => bytes)).equals(body.blob)).toBe(true);
      }),
    );
  });

  test("is encoded as protobuf would encode it", () => {
    fc.assert(
      fc.property(lines, fc.integer({ min: 1, max: 2 ** 52 }), (input, firstLine) => {
        const builder = new ChunkBuilder();
        for (const [bytes, about] of input) builder.add(bytes, about);
        const encoded = builder.build(firstLine);
        expect(Buffer.compare(toBinary(ChunkBodySchema, fromBinary(ChunkBodySchema, encoded)), encoded)).toBe(0);
      }),
    );
  });

  test("that is cut keeps the lines after the cut, with their numbers and attributes", () => {
    fc.assert(
      fc.property(lines, fc.nat(), (input, at) => {
        const cut = at % input.length;
        const rest = dropLines(build(input, 7), cut);
        expect(chunkFault(rest)).toBeUndefined();
        expect(rest.firstLine).toBe(BigInt(7 + cut));
        expect(toBinary(ChunkBodySchema, { ...rest, baseTimeUs: 0n, timeDeltaUs: [] })).toEqual(
          toBinary(ChunkBodySchema, { ...build(input.slice(cut), 7 + cut), baseTimeUs: 0n, timeDeltaUs: [] }),
        );
        expect(read(rest).workerTimeUs(0)).toBe(input[cut]?.[1].timeUs);
      }),
    );
  });

  test("never grows over 256 KiB, whatever its lines are", () => {
    const builder = new ChunkBuilder();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: MAX_PIECE_BYTES }), info), { minLength: 1, maxLength: 30 }),
        (input) => {
          for (const [length, about] of input) {
            if (!builder.add(new Uint8Array(length), about)) break;
          }
          const { bytes } = builder;
          const encoded = builder.build(2 ** 52);
          expect(encoded.length).toBeLessThanOrEqual(bytes);
          expect(encoded.length).toBeLessThanOrEqual(MAX_CHUNK_BYTES);
        },
      ),
    );
    let added = 0;
    while (builder.add(Uint8Array.of(0x0a), { timeUs: added })) added++;
    expect(builder.build(1).length).toBeLessThanOrEqual(MAX_CHUNK_BYTES);
    expect(added).toBeGreaterThan(30_000);
  });

  test("is cut where a time does not fit into its delta", () => {
    const builder = new ChunkBuilder();
    expect(builder.add(Uint8Array.of(0x0a), { timeUs: 0 })).toBe(true);
    expect(builder.add(Uint8Array.of(0x0a), { timeUs: 2 ** 31 })).toBe(false);
    expect(builder.add(Uint8Array.of(0x0a), { timeUs: -(2 ** 31 - 1) })).toBe(true);
    expect(builder.count).toBe(2);
  });

  test("refuses an empty piece and one over 64 KiB", () => {
    const builder = new ChunkBuilder();
    expect(() => builder.add(new Uint8Array(0), { timeUs: 0 })).toThrow(RangeError);
    expect(() => builder.add(new Uint8Array(MAX_PIECE_BYTES + 1), { timeUs: 0 })).toThrow(RangeError);
    expect(() => builder.build(1)).toThrow(RangeError);
  });

  test("has order times that never fall, from the floor on", () => {
    fc.assert(
      fc.property(
        lines,
        fc.integer({ min: -(10 ** 12), max: 10 ** 12 }),
        fc.integer({ min: 0, max: 1_800_000_000_000_000 }),
        (input, offset, floor) => {
          const header = create(ChunkHeaderSchema, { clockOffsetUs: BigInt(offset), orderFloorUs: BigInt(floor) });
          const chunk = new ChunkLines(create(LogChunkSchema, { header, body: build(input) }));
          let newest = floor;
          input.forEach(([, about], i) => {
            newest = Math.max(newest, about.timeUs + offset);
            expect(chunk.orderTimeUs(i)).toBe(newest);
          });
        },
      ),
    );
  });
});

describe("a malformed chunk is refused with the reason", () => {
  const good = build([
    [Buffer.from("one\n"), { timeUs: 1 }],
    [Buffer.from("two\n"), { timeUs: 2 }],
  ]);
  const faults: [string, Partial<ChunkBody>, RegExp][] = [
    ["no lines", { lineCount: 0 }, /line_count is 0/],
    ["line 0", { firstLine: 0n }, /first_line is 0/],
    ["too few times", { timeDeltaUs: [1] }, /time_delta_us has 1 entries for 2/],
    ["too many lengths", { length: [4, 3, 1] }, /length has 3 entries for 2/],
    ["too few flags", { lineFlags: Uint8Array.of(1) }, /line_flags has 1 bytes for 2/],
    ["lengths beyond the blob", { length: [4, 5] }, /more than the 8 bytes/],
    ["lengths short of the blob", { length: [4, 3] }, /add up to 7 bytes, the blob has 8/],
    ["an empty line", { length: [8, 0] }, /newline before its end|0 bytes/],
    ["a huge length", { length: [4, 70_000] }, /70000 bytes, not 1 to 65536/],
    ["an unknown level", { lineFlags: Uint8Array.of(7, 0) }, /flags 7/],
    ["a line with a newline inside", { length: [6, 2] }, /newline before its end/],
    ["a time far outside", { baseTimeUs: 2n ** 62n }, /not a time/],
  ];
  test.each(faults)("%s", (_, change, reason) => {
    expect(chunkFault(good)).toBeUndefined();
    expect(chunkFault({ ...good, ...change })).toMatch(reason);
  });
});

test("raw messages in a field read like messages that were set the usual way", () => {
  const entries = [1n, 2n, 300n].map((nextLine) => create(LogEntrySchema, { nextLine }));
  const usual = create(LogDeliverySchema, { attempt: 3, entries });
  const raw = create(LogDeliverySchema, { attempt: 3 });
  addRawMessages(
    raw,
    2,
    entries.map((entry) => toBinary(LogEntrySchema, entry)),
  );
  expect(toBinary(LogDeliverySchema, raw)).toEqual(toBinary(LogDeliverySchema, usual));
});

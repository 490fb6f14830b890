import { create, fromBinary } from "@bufbuild/protobuf";
import {
  ChunkBodySchema,
  ChunkBuilder,
  GapCause,
  Level,
  LogEntrySchema,
  Source,
  type LineInfo,
  type LogEntry,
} from "@signalbox/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { LogPrinter, type LogFormat, type LogOutput } from "./log-printer.ts";
import { jsonText } from "./output.ts";
import { sanitise } from "./sanitise.ts";

type Piece = readonly [bytes: string | Uint8Array, info?: Partial<LineInfo>];

/** A stored chunk of pieces, from line `firstLine` on. */
function chunk(firstLine: number, ...pieces: Piece[]): LogEntry {
  const builder = new ChunkBuilder();
  for (const [bytes, info] of pieces)
    builder.add(Buffer.from(bytes), { timeUs: 1_760_000_000_000_123, source: Source.STDOUT, ...info });
  const body = fromBinary(ChunkBodySchema, builder.build(firstLine));
  return create(LogEntrySchema, { entry: { case: "chunk", value: { header: {}, body } } });
}

const gap = create(LogEntrySchema, {
  entry: { case: "gap", value: { firstLine: 3n, lineCount: 4n, cause: GapCause.DROPPED_OLDEST } },
});

/** What is printed of entries, and what is noted beside. */
async function print(
  entries: readonly LogEntry[],
  {
    from = 1,
    count,
    json = false,
    ...format
  }: Partial<LogFormat> & { from?: number; count?: number; json?: boolean } = {},
): Promise<{ printed: Buffer; text: string; notes: string[] }> {
  const parts: Buffer[] = [];
  const notes: string[] = [];
  const write = async (text: string | Uint8Array) => void parts.push(Buffer.from(text));
  const out: LogOutput = {
    json,
    color: false,
    write,
    line: (text) => write(`${text}\n`),
    object: (value) => write(`${jsonText(value)}\n`),
    note: (text) => void notes.push(text.replaceAll("\u00a0", " ")),
    paint: (_style, text) => text,
  };
  const printer = new LogPrinter(
    out,
    { raw: false, timestamps: false, level: Level.UNSPECIFIED, ...format },
    from,
    count,
  );
  for (const entry of entries) await printer.entry(entry, { number: 1 });
  await printer.end();
  const printed = Buffer.concat(parts);
  return { printed, text: printed.toString().replaceAll("\u00a0", " "), notes };
}

test("pieces of a line are one row, unless another source spoke in between", async () => {
  const pieces: Piece[] = [
    ["50 %"],
    ["\r100 %\n", { continues: true }],
    ["name? "],
    ["careful\n", { source: Source.STDERR }],
    ["Ana\n", { continues: true }],
    ["no end"],
  ];
  const { text } = await print([chunk(1, ...pieces)]);
  expect(text).toBe("50 %␍100 %\nname? \ncareful\nAna\nno end\n");
});

test("a declared gap is shown where it is, and beside the raw bytes only noted", async () => {
  const entries = [chunk(1, ["one\n"], ["two\n"]), gap, chunk(7, ["seven\n"])];
  const words = "4 lines, 3 to 6, are missing: the worker's spool was full, and its oldest lines were dropped";
  expect((await print(entries)).text).toBe(`one\ntwo\n── ${words}\nseven\n`);
  expect(await print(entries, { raw: true })).toMatchObject({ text: "one\ntwo\nseven\n", notes: [words] });
  const lines = (await print(entries, { json: true })).text.trim().split("\n");
  expect(JSON.parse(lines[2] ?? "")).toEqual({
    attempt: 1,
    gap: { firstLine: "3", lineCount: "4", cause: "GAP_CAUSE_DROPPED_OLDEST" },
  });
});

test("a line is printed once, from the first that is wanted to the last, whatever entries they come in", async () => {
  const entries = [chunk(1, ["1\n"], ["2\n"], ["3\n"]), chunk(2, ["2\n"], ["3\n"], ["4\n"]), chunk(5, ["5\n"])];
  expect((await print(entries)).text).toBe("1\n2\n3\n4\n5\n");
  expect((await print(entries, { from: 2, count: 3 })).text).toBe("2\n3\n4\n");
  expect((await print(entries, { from: 2, count: 3, raw: true })).text).toBe("2\n3\n4\n");
});

test("a level leaves out what is below it and what has none", async () => {
  const entry = chunk(1, ["a\n", { level: Level.INFO }], ["b\n"], ["c\n", { level: Level.ERROR }]);
  expect((await print([entry], { level: Level.INFO })).text).toBe("a\nc\n");
  expect((await print([entry], { level: Level.WARN, raw: true })).text).toBe("c\n");
});

test("as JSON a line is whole: its number, its time to the microsecond, its level, its exact bytes where it is no text", async () => {
  const entry = chunk(
    12,
    ["hi\r\n", { level: Level.WARN, taskId: "t1", fields: { disk: "sda" } }],
    [Uint8Array.of(0xff, 0x0a), { source: Source.STDERR }],
  );
  const { text } = await print([entry], { from: 12, json: true });
  const [first, second] = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as object);
  expect(first).toEqual({
    attempt: 1,
    line: "12",
    timestamp: "2025-10-09T08:53:20.000123Z",
    level: "LEVEL_WARN",
    source: "SOURCE_STDOUT",
    message: "hi",
    taskId: "t1",
    fields: { disk: "sda" },
  });
  expect(second).toMatchObject({ line: "13", source: "SOURCE_STDERR", message: "\ufffd", bytes: "/w==" });
});

/** Bytes of one line without newline, and where they are cut into pieces. */
const cutLine = fc
  .tuple(
    fc.oneof(
      fc.string({ unit: "grapheme" }).map((text) => Buffer.from(text)),
      fc
        .array(fc.constantFrom("\u001b", "[31m", "[", "3", "1;", "m", "\r", "é", "x"), { maxLength: 12 })
        .map((parts) => Buffer.from(parts.join(""))),
      fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
    ),
    fc.array(fc.nat(30), { maxLength: 4 }),
  )
  .map(([bytes, cuts]) => {
    const line = Buffer.concat([bytes.filter((byte) => byte !== 0x0a), Buffer.from("\n")]);
    const at = [...new Set([0, ...cuts.filter((cut) => cut > 0 && cut < line.length), line.length])].sort(
      (a, b) => a - b,
    );
    return at.slice(1).map((to, i) => line.subarray(at[i], to));
  });

test("however a line is cut into pieces, it is printed as if it were whole, and raw byte by byte", async () => {
  await fc.assert(
    fc.asyncProperty(cutLine, async (pieces) => {
      const whole = Buffer.concat(pieces);
      const entry = chunk(1, ...pieces.map((bytes, i): Piece => [bytes, { continues: i > 0 }]));
      expect((await print([entry], { raw: true })).printed.equals(whole)).toBe(true);
      const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(
        whole.subarray(0, whole.at(-2) === 0x0d ? -2 : -1),
      );
      expect((await print([entry])).printed.toString()).toBe(`${sanitise(text)}\n`);
    }),
    { numRuns: 500 },
  );
});

import { create, fromBinary } from "@bufbuild/protobuf";
import {
  ChunkBodySchema,
  ChunkBuilder,
  ChunkHeaderSchema,
  GapCause,
  GapSchema,
  LogChunkSchema,
  LogEntrySchema,
  LogMarkSchema,
  type LineInfo,
  type LogEntry,
} from "@signalbox/protocol";

const utf8 = new TextEncoder();

/** One line for {@link chunkEntry}: its text, and what differs from a line of the task printed at 1 s. */
export type SampleLine = string | ({ readonly text: string } & Partial<LineInfo>);

/** A stored chunk for tests, as a reader gets it. Texts are taken as they are: line ends are the test's business. */
export function chunkEntry(firstLine: number, samples: readonly SampleLine[]): LogEntry {
  const builder = new ChunkBuilder();
  for (const sample of samples) {
    const { text, ...info } = typeof sample === "string" ? { text: sample } : sample;
    if (!builder.add(utf8.encode(text), { timeUs: 1_000_000, ...info })) throw new Error("the chunk is full");
  }
  const body = fromBinary(ChunkBodySchema, builder.build(firstLine));
  const counts = [0, 0, 0, 0, 0, 0, 0];
  for (const flags of body.lineFlags) if (!(flags & 0x20)) counts[flags & 7] = (counts[flags & 7] ?? 0) + 1;
  const header = create(ChunkHeaderSchema, {
    firstLine: BigInt(firstLine),
    nextLine: BigInt(firstLine + samples.length),
    levelCounts: counts,
    blobBytes: body.blob.length,
  });
  return create(LogEntrySchema, {
    nextLine: header.nextLine,
    entry: { case: "chunk", value: create(LogChunkSchema, { header, body }) },
  });
}

/** Lines `line <n>` from `from` to `to` (exclusive). */
export function numbered(from: number, to: number): LogEntry {
  return chunkEntry(
    from,
    Array.from({ length: to - from }, (_, index) => `line ${from + index}\n`),
  );
}

/** A declared gap. */
export function gapEntry(
  firstLine: number,
  lineCount: number,
  cause: GapCause = GapCause.DROPPED_DEBUG,
  detail = "spool full",
): LogEntry {
  return create(LogEntrySchema, {
    nextLine: BigInt(firstLine + lineCount),
    entry: {
      case: "gap",
      value: create(GapSchema, {
        firstLine: BigInt(firstLine),
        lineCount: BigInt(lineCount),
        cause,
        detail,
      }),
    },
  });
}

/** The entries with the marks that a server gives them: what is stored and missing up to each of them. */
export function marked(...entries: readonly LogEntry[]): LogEntry[] {
  let [missingLines, blobBytes] = [0n, 0n];
  for (const each of entries) {
    const { entry } = each;
    if (entry.case === "gap") missingLines += entry.value.lineCount;
    if (entry.case === "chunk") blobBytes += BigInt(entry.value.header?.blobBytes ?? 0);
    each.mark = create(LogMarkSchema, { missingLines, blobBytes });
  }
  return [...entries];
}

import { clone, create, fromBinary } from "@bufbuild/protobuf";
import {
  ChunkBodySchema,
  ChunkHeaderSchema,
  ChunkLines,
  dropLines,
  LEVEL_COUNT,
  LogChunkSchema,
  LogEntrySchema,
  type LogChunk,
  type LogEntry,
} from "@signalbox/protocol";

/** So many seconds' worth of lines may wait for the rate; beyond, all but the newest second's are left out. */
const patienceS = 2;

/**
 * The line that a console of limited rate gets next, of those from `next` on below `end`: the next one, or if there are more than fit into
 * two seconds one further on. Lines come in runs of a second, rather than one here and there.
 */
export function nextLineAt(perSecond: number, next: number, end: number): number {
  const aSecond = Math.max(1, Math.floor(perSecond));
  return end - next <= Math.max(1, patienceS * perSecond) ? next : Math.max(next, end - aSecond);
}

/** Lines cut out of stored entries. */
export interface CutLines {
  readonly entries: LogEntry[];
  /** Number of the first line; it lies further on than what was asked for if nothing is stored there any more. */
  readonly firstLine: number;
  readonly nextLine: number;
  /** Lines and declared gaps. */
  readonly count: number;
}

/** Takes at most `most` lines from line `first` on out of encoded entries. A declared gap counts as one, and comes whole. */
export function cutLines(encoded: readonly Uint8Array[], first: number, most: number): CutLines {
  const entries: LogEntry[] = [];
  let firstLine: number | undefined;
  let nextLine = first;
  let count = 0;
  for (const data of encoded) {
    if (count >= most) break;
    const { entry } = fromBinary(LogEntrySchema, data);
    if (entry.case === "gap") {
      const end = Number(entry.value.firstLine + entry.value.lineCount);
      if (end <= nextLine) continue;
      firstLine ??= Math.max(first, Number(entry.value.firstLine));
      entries.push(create(LogEntrySchema, { nextLine: BigInt(end), entry }));
      nextLine = end;
      count++;
    } else if (entry.case === "chunk") {
      const lines = new ChunkLines(entry.value);
      const from = Math.max(0, nextLine - lines.firstLine);
      const to = Math.min(lines.count, from + most - count);
      if (to <= from) continue;
      firstLine ??= lines.firstLine + from;
      nextLine = lines.firstLine + to;
      const value = cutChunk(entry.value, lines, from, to);
      entries.push(create(LogEntrySchema, { nextLine: BigInt(nextLine), entry: { case: "chunk", value } }));
      count += to - from;
    }
  }
  return { entries, firstLine: firstLine ?? first, nextLine, count };
}

/** Lines `from` to `to` (exclusive, by index) of a stored chunk, with a header that says of them what the server says of whole ones. */
function cutChunk(chunk: LogChunk, lines: ChunkLines, from: number, to: number): LogChunk {
  const { header, body } = chunk;
  if (!header || !body || (from === 0 && to === lines.count)) return chunk;
  const cut = from === 0 ? clone(ChunkBodySchema, body) : dropLines(body, from);
  const count = to - from;
  cut.lineCount = count;
  cut.timeDeltaUs.length = count;
  cut.length.length = count;
  cut.lineFlags = cut.lineFlags.subarray(0, count);
  cut.blob = lines.blob(from, to);
  cut.attributes = cut.attributes.filter(({ index }) => index < count);
  const levelCounts = new Array<number>(LEVEL_COUNT).fill(0);
  for (let index = from; index < to; index++)
    if (!lines.continues(index)) levelCounts[lines.level(index)] = (levelCounts[lines.level(index)] ?? 0) + 1;
  return create(LogChunkSchema, {
    header: {
      ...clone(ChunkHeaderSchema, header),
      firstLine: BigInt(lines.firstLine + from),
      nextLine: BigInt(lines.firstLine + to),
      orderFloorUs: from === 0 ? header.orderFloorUs : BigInt(lines.orderTimeUs(from - 1)),
      orderFirstUs: BigInt(lines.orderTimeUs(from)),
      orderLastUs: BigInt(lines.orderTimeUs(to - 1)),
      levelCounts,
      detectedLevels: header.detectedLevels.subarray(from, to),
      blobBytes: cut.blob.length,
    },
    body: cut,
  });
}

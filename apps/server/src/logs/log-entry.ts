import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  ChunkHeaderSchema,
  GapSchema,
  LEVEL_COUNT,
  LogMarkSchema,
  SOURCE_COUNT,
  varintSize,
  type ChunkHeader,
  type LogMark,
} from "@signalbox/protocol";

// Field numbers of LogEntry and LogChunk.
const nextLineField = 1;
const chunkField = 2;
const gapField = 3;
const markField = 5;
const headerField = 1;
const bodyField = 2;

/** Topic of an attempt's lines. */
export function logTopic(jobId: string, attempt: number): string {
  return `log/${jobId}/${attempt}`;
}

/** The mark of an empty log. */
export function emptyMark(): LogMark {
  return create(LogMarkSchema, {
    levelCounts: new Array<bigint>(LEVEL_COUNT).fill(0n),
    carryLevels: new Uint8Array(SOURCE_COUNT),
  });
}

/**
 * An encoded `LogEntry` that holds a chunk, in pieces: what comes before the body, the body as the worker encoded it, and what comes
 * after. Together they are the same as encoding the whole message; the body is copied only when the store puts them together.
 */
export function encodeChunkEntry(nextLine: number, header: ChunkHeader, body: Uint8Array, mark: LogMark): Uint8Array[] {
  const headerBytes = toBinary(ChunkHeaderSchema, header);
  const chunkBytes =
    1 + varintSize(headerBytes.length) + headerBytes.length + 1 + varintSize(body.length) + body.length;
  const before = new BinaryWriter()
    .tag(nextLineField, WireType.Varint)
    .uint64(nextLine)
    .tag(chunkField, WireType.LengthDelimited)
    .uint32(chunkBytes)
    .tag(headerField, WireType.LengthDelimited)
    .bytes(headerBytes)
    .tag(bodyField, WireType.LengthDelimited)
    .uint32(body.length)
    .finish();
  const after = new BinaryWriter()
    .tag(markField, WireType.LengthDelimited)
    .bytes(toBinary(LogMarkSchema, mark))
    .finish();
  return [before, body, after];
}

/** The mark of an encoded `LogEntry`, without decoding its lines. */
export function readMark(entry: Uint8Array): LogMark {
  const reader = new BinaryReader(entry);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === markField) return fromBinary(LogMarkSchema, reader.bytes());
    reader.skip(type, field);
  }
  return emptyMark();
}

/** The first line of an encoded `LogEntry` without decoding its lines; for a seal the next line. */
export function readFirstLine(entry: Uint8Array): number {
  let nextLine = 1;
  const reader = new BinaryReader(entry);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === nextLineField) nextLine = Number(reader.uint64());
    else if (field === gapField) return Number(fromBinary(GapSchema, reader.bytes()).firstLine);
    else if (field === chunkField) {
      const chunk = new BinaryReader(reader.bytes());
      chunk.tag();
      return Number(fromBinary(ChunkHeaderSchema, chunk.bytes()).firstLine);
    } else reader.skip(type, field);
  }
  return nextLine;
}

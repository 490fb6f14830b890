import { create, fromBinary } from "@bufbuild/protobuf";
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

// One writer for all: it keeps its buffer, and each use ends before the next begins.
const writer = new BinaryWriter();

/** A body of up to so many bytes is copied into the entry at once: that costs less than pieces do. */
const smallBytes = 4096;

/**
 * An encoded `LogEntry` that holds a chunk, in pieces: what comes before the body, the body as the worker encoded it, and what comes
 * after; a small one in a single piece. Together they are the same as encoding the whole message; a large body is copied only when the store
 * puts them together.
 *
 * Written field by field: a worker that prints now and then has an entry for each line, and the general encoder takes five times as long.
 */
export function encodeChunkEntry(nextLine: number, header: ChunkHeader, body: Uint8Array, mark: LogMark): Uint8Array[] {
  if (body.length <= smallBytes) {
    writer.tag(nextLineField, WireType.Varint).uint64(nextLine);
    writer.tag(chunkField, WireType.LengthDelimited).fork();
    writeHeader(header);
    writer.tag(bodyField, WireType.LengthDelimited).bytes(body).join();
    writeMark(mark);
    return [writer.finish()];
  }
  writeHeader(header);
  const headerBytes = writer.finish();
  const chunkBytes = headerBytes.length + 1 + varintSize(body.length) + body.length;
  const before = writer
    .tag(nextLineField, WireType.Varint)
    .uint64(nextLine)
    .tag(chunkField, WireType.LengthDelimited)
    .uint32(chunkBytes)
    .raw(headerBytes)
    .tag(bodyField, WireType.LengthDelimited)
    .uint32(body.length)
    .finish();
  writeMark(mark);
  return [before, body, writer.finish()];
}

/** Writes the field `LogChunk.header`, fields in the order of their numbers, as the general encoder does. */
function writeHeader(header: ChunkHeader): void {
  writer.tag(headerField, WireType.LengthDelimited).fork();
  if (header.firstLine !== 0n) writer.tag(1, WireType.Varint).uint64(header.firstLine);
  if (header.nextLine !== 0n) writer.tag(2, WireType.Varint).uint64(header.nextLine);
  if (header.incarnation !== "") writer.tag(3, WireType.LengthDelimited).string(header.incarnation);
  if (header.clockOffsetUs !== 0n) writer.tag(4, WireType.Varint).sint64(header.clockOffsetUs);
  if (header.orderFloorUs !== 0n) writer.tag(5, WireType.Varint).int64(header.orderFloorUs);
  if (header.orderFirstUs !== 0n) writer.tag(6, WireType.Varint).int64(header.orderFirstUs);
  if (header.orderLastUs !== 0n) writer.tag(7, WireType.Varint).int64(header.orderLastUs);
  if (header.levelCounts.length > 0) {
    writer.tag(8, WireType.LengthDelimited).fork();
    for (const count of header.levelCounts) writer.uint32(count);
    writer.join();
  }
  if (header.detectedLevels.length > 0) writer.tag(9, WireType.LengthDelimited).bytes(header.detectedLevels);
  if (header.blobBytes !== 0) writer.tag(10, WireType.Varint).uint32(header.blobBytes);
  if (header.receivedAtUs !== 0n) writer.tag(11, WireType.Varint).int64(header.receivedAtUs);
  writer.join();
}

/** Writes the field `LogEntry.mark`, as the general encoder does. */
function writeMark(mark: LogMark): void {
  writer.tag(markField, WireType.LengthDelimited).fork();
  if (mark.levelCounts.length > 0) {
    writer.tag(1, WireType.LengthDelimited).fork();
    for (const count of mark.levelCounts) writer.uint64(count);
    writer.join();
  }
  if (mark.blobBytes !== 0n) writer.tag(2, WireType.Varint).uint64(mark.blobBytes);
  if (mark.missingLines !== 0n) writer.tag(3, WireType.Varint).uint64(mark.missingLines);
  if (mark.orderUs !== 0n) writer.tag(4, WireType.Varint).int64(mark.orderUs);
  if (mark.carryLevels.length > 0) writer.tag(5, WireType.LengthDelimited).bytes(mark.carryLevels);
  writer.join();
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

/** The header of an encoded `LogEntry` that holds a chunk, without decoding its lines; undefined for a gap and a seal. */
export function readHeader(entry: Uint8Array): ChunkHeader | undefined {
  const reader = new BinaryReader(entry);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field !== chunkField) {
      reader.skip(type, field);
      continue;
    }
    const chunk = new BinaryReader(reader.bytes());
    while (chunk.pos < chunk.len) {
      const [inner, innerType] = chunk.tag();
      if (inner === headerField) return fromBinary(ChunkHeaderSchema, chunk.bytes());
      chunk.skip(innerType, inner);
    }
  }
  return undefined;
}

import { clone } from "@bufbuild/protobuf";
import { ChunkBodySchema, Level, type ChunkBody } from "./gen/signalbox/v1/chunk_pb.ts";
import { LEVEL_BITS, MAX_PIECE_BYTES } from "./chunk-limits.ts";

const newline = 0x0a;
const maxLine = Number.MAX_SAFE_INTEGER;
// Year 9999; keeps every sum of time, delta and offset a safe integer.
const maxTimeUs = 253_402_300_800_000_000n / 32n;

/**
 * What is wrong with a chunk, in words for the worker's author, or undefined if it is well formed: columns of equal length, lengths
 * that add up, pieces that end at their newline and hold at most 64 KiB, levels and times that exist.
 */
export function chunkFault(body: ChunkBody): string | undefined {
  const { lineCount, timeDeltaUs, length, lineFlags, blob, attributes } = body;
  if (body.firstLine < 1n || body.firstLine > BigInt(maxLine) - BigInt(lineCount))
    return `first_line is ${body.firstLine}, not 1 to ${maxLine} less line_count`;
  if (lineCount < 1) return "line_count is 0";
  if (timeDeltaUs.length !== lineCount) return `time_delta_us has ${timeDeltaUs.length} entries for ${lineCount} lines`;
  if (length.length !== lineCount) return `length has ${length.length} entries for ${lineCount} lines`;
  if (lineFlags.length !== lineCount) return `line_flags has ${lineFlags.length} bytes for ${lineCount} lines`;
  if (body.baseTimeUs < -maxTimeUs || body.baseTimeUs > maxTimeUs)
    return `base_time_us ${body.baseTimeUs} is not a time in this era`;
  let at = 0;
  let nextNewline = -1;
  for (let i = 0; i < lineCount; i++) {
    const bytes = length[i] ?? 0;
    if (bytes < 1 || bytes > MAX_PIECE_BYTES)
      return `line ${i} of the chunk has ${bytes} bytes, not 1 to ${MAX_PIECE_BYTES}`;
    const flags = lineFlags[i] ?? 0;
    if ((flags & 0x80) !== 0 || (flags & LEVEL_BITS) > Level.FATAL) return `line ${i} of the chunk has flags ${flags}`;
    const end = at + bytes;
    if (end > blob.length) return `the lengths add up to more than the ${blob.length} bytes of the blob`;
    if (nextNewline < at) {
      nextNewline = blob.indexOf(newline, at);
      if (nextNewline < 0) nextNewline = blob.length;
    }
    if (nextNewline < end - 1) return `line ${i} of the chunk has a newline before its end`;
    at = end;
  }
  if (at !== blob.length) return `the lengths add up to ${at} bytes, the blob has ${blob.length}`;
  let before = -1;
  for (const { index } of attributes) {
    if (index <= before || index >= lineCount)
      return `attributes for line ${index} of ${lineCount}, after line ${before}`;
    before = index;
  }
  return undefined;
}

/** The chunk without its first `lines` lines, for a chunk that overlaps what is stored. `lines` is less than its line count. */
export function dropLines(body: ChunkBody, lines: number): ChunkBody {
  const rest = clone(ChunkBodySchema, body);
  let bytes = 0;
  for (let i = 0; i < lines; i++) bytes += body.length[i] ?? 0;
  rest.firstLine = body.firstLine + BigInt(lines);
  rest.lineCount = body.lineCount - lines;
  rest.timeDeltaUs = body.timeDeltaUs.slice(lines);
  rest.length = body.length.slice(lines);
  rest.lineFlags = body.lineFlags.slice(lines);
  rest.blob = body.blob.slice(bytes);
  rest.attributes = rest.attributes.filter(({ index }) => index >= lines);
  for (const attributes of rest.attributes) attributes.index -= lines;
  return rest;
}

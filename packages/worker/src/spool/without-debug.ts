import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ChunkBodySchema, GapCause, Level, LEVEL_BITS, type ChunkBody } from "@signalbox/protocol";
import type { ChunkRun, LineRun } from "../unacked-lines.ts";

/**
 * The chunk without its lines of the levels DEBUG and TRACE: what is kept as smaller chunks, and gaps in between, with the same numbers
 * as before. Lines without a level are kept.
 */
export function withoutDebug(run: ChunkRun, detail: string): LineRun[] {
  const body = fromBinary(ChunkBodySchema, run.bytes);
  const isDebug = (index: number) => {
    const level = ((body.lineFlags[index] ?? 0) & LEVEL_BITS) as Level;
    return level === Level.DEBUG || level === Level.TRACE;
  };
  const runs: LineRun[] = [];
  let byte = 0;
  for (let from = 0; from < body.lineCount;) {
    const drops = isDebug(from);
    let to = from;
    let bytes = 0;
    for (; to < body.lineCount && isDebug(to) === drops; to++) bytes += body.length[to] ?? 0;
    const place = { firstLine: run.firstLine + from, lineCount: to - from };
    if (drops) runs.push({ kind: "gap", ...place, cause: GapCause.DROPPED_DEBUG, detail });
    else if (to - from === body.lineCount) runs.push(run);
    else runs.push({ kind: "chunk", ...place, bytes: slice(body, place.firstLine, { from, to }, byte, bytes) });
    byte += bytes;
    from = to;
  }
  return runs;
}

function slice(
  body: ChunkBody,
  firstLine: number,
  { from, to }: { from: number; to: number },
  byte: number,
  bytes: number,
): Uint8Array<ArrayBuffer> {
  return toBinary(
    ChunkBodySchema,
    create(ChunkBodySchema, {
      firstLine: BigInt(firstLine),
      lineCount: to - from,
      baseTimeUs: body.baseTimeUs,
      timeDeltaUs: body.timeDeltaUs.slice(from, to),
      length: body.length.slice(from, to),
      lineFlags: body.lineFlags.slice(from, to),
      blob: body.blob.subarray(byte, byte + bytes),
      attributes: body.attributes
        .filter(({ index }) => index >= from && index < to)
        .map((attributes) => ({ ...attributes, index: attributes.index - from })),
    }),
  );
}

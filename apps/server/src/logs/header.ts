import {
  CONTINUES_BIT,
  DETECTED_BIT,
  detectLevel,
  Level,
  LEVEL_BITS,
  LEVEL_COUNT,
  SOURCE_BITS,
  SOURCE_SHIFT,
  type ChunkBody,
  type ChunkHeader,
  type LogMark,
} from "@signalbox/protocol";

const noLevels = new Uint8Array();

/** What the door knows of who sends. */
export interface Sender {
  readonly incarnation: string;
  /** Microseconds to add to the worker's clock. */
  readonly clockOffsetUs: number;
}

/**
 * What the server writes about a well-formed chunk: line range, order times, levels (given, detected or inherited), counts; and the
 * log's mark after it. One pass over the columns; text is looked at only where the worker gave no level.
 */
export function describeChunk(
  body: ChunkBody,
  before: LogMark,
  sender: Sender,
  receivedAtUs: number,
): { header: ChunkHeader; mark: LogMark } {
  const { lineCount, lineFlags, length, timeDeltaUs, blob } = body;
  const counts = new Array<number>(LEVEL_COUNT).fill(0);
  const carry = new Uint8Array(before.carryLevels);
  const base = Number(body.baseTimeUs) + sender.clockOffsetUs;
  let order = Number(before.orderUs);
  let orderFirst = order;
  let detected: Uint8Array | undefined;
  let at = 0;
  for (let i = 0; i < lineCount; i++) {
    const flags = lineFlags[i] ?? 0;
    const bytes = length[i] ?? 0;
    const source = (flags & SOURCE_BITS) >> SOURCE_SHIFT;
    const continues = (flags & CONTINUES_BIT) !== 0;
    let level = flags & LEVEL_BITS;
    if (level === Level.UNSPECIFIED) {
      level = continues ? (carry[source] ?? 0) : detectLevel(blob.subarray(at, at + bytes));
      if (level !== Level.UNSPECIFIED) {
        detected ??= lineFlags.map((each) => each & LEVEL_BITS);
        detected[i] = level | DETECTED_BIT;
      }
    }
    carry[source] = level;
    if (!continues) counts[level] = (counts[level] ?? 0) + 1;
    const time = base + (timeDeltaUs[i] ?? 0);
    if (time > order) order = time;
    if (i === 0) orderFirst = order;
    at += bytes;
  }
  const nextLine = body.firstLine + BigInt(lineCount);
  const orderLastUs = BigInt(Math.round(order));
  // Written out, not made with create(): that takes as long as all of the rest together.
  const header: ChunkHeader = {
    $typeName: "signalbox.v1.ChunkHeader",
    firstLine: body.firstLine,
    nextLine,
    incarnation: sender.incarnation,
    clockOffsetUs: BigInt(Math.round(sender.clockOffsetUs)),
    orderFloorUs: before.orderUs,
    orderFirstUs: BigInt(Math.round(orderFirst)),
    orderLastUs,
    levelCounts: counts,
    blobBytes: blob.length,
    receivedAtUs: BigInt(receivedAtUs),
    detectedLevels: detected ?? noLevels,
  };
  const levelCounts: bigint[] = [];
  for (let level = 0; level < LEVEL_COUNT; level++) {
    const known = before.levelCounts[level] ?? 0n;
    const count = counts[level] ?? 0;
    // Most levels have no line in a chunk, and big numbers cost.
    levelCounts.push(count > 0 ? known + BigInt(count) : known);
  }
  const mark: LogMark = {
    $typeName: "signalbox.v1.LogMark",
    levelCounts,
    blobBytes: before.blobBytes + BigInt(blob.length),
    missingLines: before.missingLines,
    orderUs: orderLastUs,
    carryLevels: carry,
  };
  return { header, mark };
}

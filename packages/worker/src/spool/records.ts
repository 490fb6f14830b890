import zlib from "node:zlib";

/** What a record of a spool segment holds. */
export type RecordKind = "chunk" | "gap" | "note" | "ack";

/** What stands before each record's payload. */
export interface RecordHead {
  readonly kind: RecordKind;
  /** Of a chunk or gap: its first line. Of a note: the line that the next record begins at. Of an ack: the line below which all is stored. */
  readonly firstLine: number;
  /** Lines of a chunk or gap; else 0. */
  readonly lineCount: number;
  readonly payloadBytes: number;
}

/** A record that is whole, or whose head at least is. */
export interface FoundRecord {
  readonly head: RecordHead;
  /** Undefined: it does not fit its checksum, and what it held is lost. */
  readonly payload: Uint8Array<ArrayBuffer> | undefined;
}

/** What the bytes of a segment turned out to be. */
export interface Scan {
  readonly records: readonly FoundRecord[];
  /** Bytes that should be records are not: more than a write that was cut off at the end. */
  readonly isDamaged: boolean;
  /** The same of those behind the last record. */
  readonly isEndDamaged: boolean;
}

/** Bytes before a payload: magic, kind, version, length, first line, lines, checksum of the payload, checksum of the head. */
export const HEAD_BYTES = 28;

const magic = Buffer.from([0x5b, 0x4c]);
const version = 1;
const codes: Readonly<Record<RecordKind, number>> = { chunk: 1, gap: 2, note: 3, ack: 4 };
const kinds = new Map(Object.entries(codes).map(([kind, code]) => [code, kind as RecordKind]));

/**
 * What the checksums of heads begin with: another number for each process, so that what a job prints cannot be taken for a record where a
 * segment is damaged.
 */
export function seedOf(incarnation: string): number {
  return zlib.crc32(incarnation);
}

/** Makes the head of a record. */
export function encodeHead(
  kind: RecordKind,
  { firstLine, lineCount }: { firstLine: number; lineCount: number },
  payload: Uint8Array,
  seed: number,
): Buffer<ArrayBuffer> {
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  magic.copy(head);
  head.writeUInt8(codes[kind], 2);
  head.writeUInt8(version, 3);
  head.writeUInt32BE(payload.length, 4);
  head.writeUIntBE(firstLine, 8, 6);
  head.writeUIntBE(lineCount, 14, 6);
  head.writeUInt32BE(zlib.crc32(payload), 20);
  head.writeUInt32BE(zlib.crc32(head.subarray(0, 24), seed), 24);
  return head;
}

/**
 * Finds the records in the bytes of a segment, in order. A record that is cut off by the end of the bytes is left out: its write never
 * ended. Behind bytes that are no record the next one is looked for. Payloads are views of `bytes`.
 */
export function scanRecords(bytes: Buffer<ArrayBuffer>, seed: number): Scan {
  const records: FoundRecord[] = [];
  let isDamaged = false;
  let isEndDamaged = false;
  let at = 0;
  while (at < bytes.length) {
    const head = readHead(bytes, at, seed);
    if (head) {
      const end = at + HEAD_BYTES + head.payloadBytes;
      if (end > bytes.length) break;
      const payload = bytes.subarray(at + HEAD_BYTES, end);
      const isWhole = zlib.crc32(payload) === bytes.readUInt32BE(at + 20);
      records.push({ head, payload: isWhole ? payload : undefined });
      isDamaged ||= !isWhole;
      at = end;
      continue;
    }
    if (bytes.length - at < HEAD_BYTES) {
      // The beginning of a head that was cut off, or else something that was never one.
      isEndDamaged = !magic.subarray(0, bytes.length - at).equals(bytes.subarray(at, Math.min(at + 2, bytes.length)));
      break;
    }
    isDamaged = true;
    const next = findHead(bytes, at + 1, seed);
    isEndDamaged = next === undefined;
    if (next === undefined) break;
    at = next;
  }
  return { records, isDamaged: isDamaged || isEndDamaged, isEndDamaged };
}

/** The head at `at`; undefined if there is none, or one that does not fit its checksum. */
function readHead(bytes: Buffer, at: number, seed: number): RecordHead | undefined {
  if (bytes.length - at < HEAD_BYTES) return undefined;
  if (bytes[at] !== magic[0] || bytes[at + 1] !== magic[1] || bytes[at + 3] !== version) return undefined;
  if (zlib.crc32(bytes.subarray(at, at + 24), seed) !== bytes.readUInt32BE(at + 24)) return undefined;
  const kind = kinds.get(bytes[at + 2] ?? 0);
  if (!kind) return undefined;
  return {
    kind,
    payloadBytes: bytes.readUInt32BE(at + 4),
    firstLine: bytes.readUIntBE(at + 8, 6),
    lineCount: bytes.readUIntBE(at + 14, 6),
  };
}

function findHead(bytes: Buffer, from: number, seed: number): number | undefined {
  for (let at = bytes.indexOf(magic, from); at >= 0; at = bytes.indexOf(magic, at + 1))
    if (readHead(bytes, at, seed)) return at;
  return undefined;
}

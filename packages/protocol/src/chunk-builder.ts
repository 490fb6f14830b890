import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ByteColumn, varintSize } from "./byte-column.ts";
import { CONTINUES_BIT, MAX_CHUNK_BYTES, MAX_PIECE_BYTES, SOURCE_SHIFT } from "./chunk-limits.ts";
import { Level, LineAttributesSchema, Source } from "./gen/signalbox/v1/chunk_pb.ts";

/** What a line is besides its bytes. */
export interface LineInfo {
  /** Worker clock, microseconds since the Unix epoch. */
  readonly timeUs: number;
  /** Default UNSPECIFIED: the server detects it. */
  readonly level?: Level;
  /** Default TASK. */
  readonly source?: Source;
  /** The piece goes on from the newest piece of the same source. */
  readonly continues?: boolean;
  /** Structured fields. */
  readonly fields?: Readonly<Record<string, string>>;
  /** The task inside the job. */
  readonly taskId?: string;
}

const maxDelta = 2 ** 31 - 1;
// first_line, line_count, base_time_us, and tag and length of five columns, each at its longest.
const overheadBytes = 64;
// A quiet log has small chunks; columns grow when it does not.
const firstBlobBytes = 8 * 1024;
const firstColumnBytes = 256;

// Field numbers of ChunkBody.
const field = {
  firstLine: 1,
  lineCount: 2,
  baseTime: 3,
  timeDelta: 4,
  length: 5,
  flags: 6,
  blob: 7,
  attributes: 8,
} as const;

/**
 * Collects lines into the columns of one `ChunkBody`. Reusable: `build` empties it. The text of a line is copied when it is added
 * and once more when the chunk is built; nothing is made for each line but for its attributes.
 */
export class ChunkBuilder {
  readonly #maxBytes: number;
  readonly #blob = new ByteColumn(firstBlobBytes);
  readonly #flags = new ByteColumn(firstColumnBytes);
  readonly #deltas = new ByteColumn(firstColumnBytes);
  readonly #lengths = new ByteColumn(firstColumnBytes);
  #attributes: Uint8Array[] = [];
  #attributesBytes = 0;
  #baseTimeUs = 0;

  /** `maxBytes` bounds the encoded body; default and maximum 256 KiB. */
  constructor(maxBytes: number = MAX_CHUNK_BYTES) {
    this.#maxBytes = Math.min(maxBytes, MAX_CHUNK_BYTES);
  }

  /** Lines added since the last build. */
  get count(): number {
    return this.#flags.length;
  }

  /** Upper bound of the encoded size, bytes. */
  get bytes(): number {
    return (
      this.#blob.length +
      this.#flags.length +
      this.#deltas.length +
      this.#lengths.length +
      this.#attributesBytes +
      overheadBytes
    );
  }

  /**
   * Adds one piece, terminator included. Returns false, and adds nothing, if it does not fit: build and add it again. A piece always
   * fits into an empty builder. Throws RangeError if it is empty, longer than 64 KiB, or if its attributes alone are too large.
   */
  add(bytes: Uint8Array, info: LineInfo): boolean {
    const { length } = bytes;
    if (length === 0 || length > MAX_PIECE_BYTES)
      throw new RangeError(`a piece has 1 to ${MAX_PIECE_BYTES} bytes, not ${length}`);
    const timeUs = Math.round(info.timeUs);
    const index = this.count;
    if (index === 0) this.#baseTimeUs = timeUs;
    const delta = timeUs - this.#baseTimeUs;
    if (Math.abs(delta) > maxDelta) return false;
    const zigzag = delta >= 0 ? delta * 2 : -delta * 2 - 1;
    const attributes = info.fields || info.taskId ? encodeAttributes(index, info) : undefined;
    const attributesBytes = attributes ? attributes.length + 1 + varintSize(attributes.length) : 0;
    if (this.bytes + length + varintSize(zigzag) + varintSize(length) + 1 + attributesBytes > this.#maxBytes) {
      if (index === 0) throw new RangeError(`the attributes of a line are too large: ${attributesBytes} bytes`);
      return false;
    }
    this.#blob.append(bytes);
    this.#deltas.varint(zigzag);
    this.#lengths.varint(length);
    this.#flags.byte(
      (info.level ?? Level.UNSPECIFIED) |
        (((info.source ?? Source.TASK) - 1) << SOURCE_SHIFT) |
        (info.continues ? CONTINUES_BIT : 0),
    );
    if (attributes) {
      this.#attributes.push(attributes);
      this.#attributesBytes += attributesBytes;
    }
    return true;
  }

  /** Encodes the lines as a `ChunkBody` that begins at `firstLine`, and empties the builder. Throws RangeError if it is empty. */
  build(firstLine: number): Uint8Array<ArrayBuffer> {
    if (this.count === 0) throw new RangeError("a chunk has at least one line");
    const head = new BinaryWriter()
      .tag(field.firstLine, WireType.Varint)
      .uint64(firstLine)
      .tag(field.lineCount, WireType.Varint)
      .uint32(this.count)
      .tag(field.baseTime, WireType.Varint)
      .int64(this.#baseTimeUs)
      .finish();
    const columns = [
      [field.timeDelta, this.#deltas.bytes],
      [field.length, this.#lengths.bytes],
      [field.flags, this.#flags.bytes],
      [field.blob, this.#blob.bytes],
      ...this.#attributes.map((bytes) => [field.attributes, bytes] as const),
    ] as const;
    // Put together by hand: a growing writer would copy the text twice more.
    const size = columns.reduce((sum, [, bytes]) => sum + 1 + varintSize(bytes.length) + bytes.length, head.length);
    const body = new Uint8Array(size);
    body.set(head);
    let at = head.length;
    for (const [number, bytes] of columns) {
      const prefix = new BinaryWriter().tag(number, WireType.LengthDelimited).uint32(bytes.length).finish();
      body.set(prefix, at);
      body.set(bytes, at + prefix.length);
      at += prefix.length + bytes.length;
    }
    for (const column of [this.#blob, this.#flags, this.#deltas, this.#lengths]) column.clear();
    this.#attributes = [];
    this.#attributesBytes = 0;
    return body;
  }
}

function encodeAttributes(index: number, info: LineInfo): Uint8Array {
  return toBinary(
    LineAttributesSchema,
    create(LineAttributesSchema, { index, taskId: info.taskId ?? "", fields: { ...info.fields } }),
  );
}

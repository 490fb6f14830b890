import type { ChunkBody, Level, LineAttributes, LogChunk, Source } from "./gen/signalbox/v1/chunk_pb.ts";
import { CONTINUES_BIT, DETECTED_BIT, LEVEL_BITS, SOURCE_BITS, SOURCE_SHIFT } from "./chunk-limits.ts";

/**
 * Reads the lines of a decoded chunk by index, without making an object a line. All times are microseconds since the Unix epoch.
 * Throws RangeError if the chunk has no header or no body.
 */
export class ChunkLines {
  /** Number of the first line. */
  readonly firstLine: number;
  /** Number of lines. */
  readonly count: number;
  readonly #body: ChunkBody;
  readonly #levels: Uint8Array;
  readonly #clockOffsetUs: number;
  readonly #orderFloorUs: number;
  #starts: Uint32Array | undefined;
  #orderTimes: Float64Array | undefined;
  #attributes: Map<number, LineAttributes> | undefined;

  constructor(chunk: LogChunk) {
    const { header, body } = chunk;
    if (!header || !body) throw new RangeError("a stored chunk has a header and a body");
    this.#body = body;
    this.firstLine = Number(body.firstLine);
    this.count = body.lineCount;
    this.#levels = header.detectedLevels.length > 0 ? header.detectedLevels : body.lineFlags;
    this.#clockOffsetUs = Number(header.clockOffsetUs);
    this.#orderFloorUs = Number(header.orderFloorUs);
  }

  /** Number after the last line. */
  get nextLine(): number {
    return this.firstLine + this.count;
  }

  /** Level of line `index` (from 0): given, detected or inherited. */
  level(index: number): Level {
    return ((this.#levels[index] ?? 0) & LEVEL_BITS) as Level;
  }

  /** Whether the level was detected rather than given by the worker. */
  levelDetected(index: number): boolean {
    return ((this.#levels[index] ?? 0) & DETECTED_BIT) !== 0;
  }

  /** Where the line came from. */
  source(index: number): Source {
    return ((((this.#body.lineFlags[index] ?? 0) & SOURCE_BITS) >> SOURCE_SHIFT) + 1) as Source;
  }

  /** Whether the piece goes on from the newest piece of the same source. */
  continues(index: number): boolean {
    return ((this.#body.lineFlags[index] ?? 0) & CONTINUES_BIT) !== 0;
  }

  /** When the worker says the line was printed, on its own clock. */
  workerTimeUs(index: number): number {
    return Number(this.#body.baseTimeUs) + (this.#body.timeDeltaUs[index] ?? 0);
  }

  /** Order time: never falls along an attempt, and is comparable between workers. */
  orderTimeUs(index: number): number {
    if (!this.#orderTimes) {
      const times = new Float64Array(this.count);
      let newest = this.#orderFloorUs;
      for (let i = 0; i < this.count; i++)
        times[i] = newest = Math.max(newest, this.workerTimeUs(i) + this.#clockOffsetUs);
      this.#orderTimes = times;
    }
    return this.#orderTimes[index] ?? 0;
  }

  /** The exact bytes of the line, terminator included: a view of the chunk, not a copy. */
  bytes(index: number): Uint8Array {
    const starts = (this.#starts ??= this.#lineStarts());
    return this.#body.blob.subarray(starts[index], starts[index + 1]);
  }

  /** The bytes of lines `from` to `to` (exclusive): a view. */
  blob(from = 0, to = this.count): Uint8Array {
    const starts = (this.#starts ??= this.#lineStarts());
    return this.#body.blob.subarray(starts[from], starts[to]);
  }

  /** The line's attributes, if it has any. */
  attributes(index: number): LineAttributes | undefined {
    this.#attributes ??= new Map(this.#body.attributes.map((attributes) => [attributes.index, attributes]));
    return this.#attributes.get(index);
  }

  #lineStarts(): Uint32Array {
    const starts = new Uint32Array(this.count + 1);
    let at = 0;
    for (let i = 0; i < this.count; i++) starts[i + 1] = at += this.#body.length[i] ?? 0;
    return starts;
  }
}

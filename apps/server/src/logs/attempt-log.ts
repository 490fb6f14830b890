import { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ChunkBodySchema,
  chunkFault,
  dropLines,
  type ChunkHeader,
  type Gap,
  GapSchema,
  LogEntrySchema,
  LogMarkSchema,
  LogRefusalSchema,
  MAX_CHUNK_BYTES,
  type LogMark,
} from "@signalbox/protocol";
import { clip } from "../clip.ts";
import type { Clock } from "../clock.ts";
import { Refused } from "../refused.ts";
import type { Journal, TopicWriter } from "../store/store.ts";
import { describeChunk, type Sender } from "./header.ts";
import { emptyMark, encodeChunkEntry, logTopic, readMark } from "./log-entry.ts";

const longestDetail = 500;

/** Where a log stands. */
export interface LogEnd {
  /** The number that the next line must have. */
  readonly nextLine: number;
  readonly mark: LogMark;
}

/** Is told what is on disk, in order: a chunk with its header, or a gap. */
export type OnStored = (firstLine: number, nextLine: number, header: ChunkHeader | undefined) => void;

/** What is another thing for a log that is not an attempt's own. */
export interface DoorOptions {
  readonly topic: string;
  /** Where it stands before its first entry. */
  readonly begin: LogEnd;
  /** So much text is taken, bytes; a chunk that would go beyond is refused as malformed, so that a gap takes its place. */
  readonly mostBlobBytes: number;
}

/**
 * The door of one attempt's log: the one place that decides what may be appended. Appends are pipelined; the log's end moves when an
 * append is accepted, the durable end when it is on disk.
 *
 * After a failed append the writer is dead and so is this object: open another one, which reads the end from the store.
 */
export class AttemptLog {
  readonly jobId: string;
  readonly attempt: number;
  readonly #mostBlobBytes: bigint | undefined;
  readonly #clock: Clock;
  readonly #writer: TopicWriter;
  readonly #onStored: OnStored | undefined;
  #nextLine: number;
  #mark: LogMark;
  #durable: LogEnd;

  private constructor(
    jobId: string,
    attempt: number,
    writer: TopicWriter,
    clock: Clock,
    options?: DoorOptions,
    onStored?: OnStored,
  ) {
    this.jobId = jobId;
    this.attempt = attempt;
    this.#mostBlobBytes = options && BigInt(options.mostBlobBytes);
    this.#writer = writer;
    this.#clock = clock;
    this.#onStored = onStored;
    this.#nextLine = writer.opened?.mark ?? options?.begin.nextLine ?? 1;
    this.#mark = writer.opened ? readMark(writer.opened.data) : (options?.begin.mark ?? emptyMark());
    this.#durable = { nextLine: this.#nextLine, mark: this.#mark };
  }

  /** Opens the log at its stored end. Throws Fenced if it is sealed. */
  static async open(
    journal: Journal,
    jobId: string,
    attempt: number,
    clock: Clock,
    options?: DoorOptions,
    onStored?: OnStored,
  ): Promise<AttemptLog> {
    const writer = await journal.open(options?.topic ?? logTopic(jobId, attempt));
    return new AttemptLog(jobId, attempt, writer, clock, options, onStored);
  }

  /** What is on disk. */
  get durable(): LogEnd {
    return this.#durable;
  }

  /**
   * Appends an encoded `ChunkBody`. Lines that are stored already are cut off; if none is left nothing is appended. Resolves when all
   * lines of the chunk are on disk. Throws Refused, at once and without touching the log, for a malformed chunk (invalid) and for one
   * that does not follow (stale), each with a `LogRefusal` detail.
   */
  append(encoded: Uint8Array, sender: Sender): Promise<void> {
    try {
      return this.#appendChunk(encoded, sender);
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #appendChunk(encoded: Uint8Array, sender: Sender): Promise<void> {
    if (encoded.length > MAX_CHUNK_BYTES)
      throw this.#refusal("invalid", `a chunk has ${encoded.length} bytes, at most ${MAX_CHUNK_BYTES} are allowed`);
    let body;
    try {
      body = fromBinary(ChunkBodySchema, encoded);
    } catch (error) {
      throw this.#refusal(
        "invalid",
        `the chunk is not an encoded ChunkBody: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    const fault = chunkFault(body);
    if (fault) throw this.#refusal("invalid", fault);
    const first = Number(body.firstLine);
    if (first > this.#nextLine)
      throw this.#refusal("stale", `the chunk begins at line ${first}, the next line is ${this.#nextLine}`);
    const known = this.#nextLine - first;
    if (known >= body.lineCount) return this.#settled();
    if (known > 0) {
      body = dropLines(body, known);
      encoded = toBinary(ChunkBodySchema, body);
    }
    const { header, mark } = describeChunk(body, this.#mark, sender, this.#clock());
    if (this.#mostBlobBytes !== undefined && mark.blobBytes > this.#mostBlobBytes)
      throw this.#refusal("invalid", `late evidence of an attempt is kept up to ${this.#mostBlobBytes} bytes of text`);
    const nextLine = this.#nextLine + body.lineCount;
    return this.#append(encodeChunkEntry(nextLine, header, encoded, mark), nextLine, mark, header);
  }

  /** Appends a declared gap; lines of it that are stored already are cut off. Like {@link append}. */
  async appendGap(gap: Gap, sender: Sender): Promise<void> {
    const first = Number(gap.firstLine);
    const end = first + Number(gap.lineCount);
    if (gap.firstLine < 1n || gap.lineCount < 1n || !Number.isSafeInteger(end))
      throw this.#refusal("invalid", "a gap has a first line and at least one line");
    if (first > this.#nextLine)
      throw this.#refusal("stale", `the gap begins at line ${first}, the next line is ${this.#nextLine}`);
    if (end <= this.#nextLine) return this.#settled();
    const stored = clone(GapSchema, gap);
    stored.firstLine = BigInt(this.#nextLine);
    stored.lineCount = BigInt(end - this.#nextLine);
    stored.detail = clip(gap.detail, longestDetail);
    delete stored.$unknown;
    stored.incarnation = sender.incarnation;
    stored.declaredAtUs = BigInt(this.#clock());
    const mark = clone(LogMarkSchema, this.#mark);
    mark.missingLines += stored.lineCount;
    const entry = create(LogEntrySchema, { nextLine: BigInt(end), entry: { case: "gap", value: stored }, mark });
    await this.#append(toBinary(LogEntrySchema, entry), end, mark);
  }

  #pending: Promise<void> = Promise.resolve();

  #append(
    entry: Uint8Array | readonly Uint8Array[],
    nextLine: number,
    mark: LogMark,
    header?: ChunkHeader,
  ): Promise<void> {
    const firstLine = this.#nextLine;
    this.#nextLine = nextLine;
    this.#mark = mark;
    this.#pending = this.#writer.append(entry, nextLine).then(() => {
      this.#durable = { nextLine, mark };
      this.#onStored?.(firstLine, nextLine, header);
    });
    return this.#pending;
  }

  /** Resolves when everything accepted so far is on disk. */
  async #settled(): Promise<void> {
    await this.#pending;
  }

  #refusal(kind: "invalid" | "stale", reason: string): Refused {
    return new Refused(kind, `Log of job ${this.jobId}, attempt ${this.attempt}: ${reason}.`, [
      { desc: LogRefusalSchema, value: { nextLine: BigInt(this.#nextLine), reason } },
    ]);
  }
}

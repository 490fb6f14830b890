import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ChunkLines, LogEntrySchema, SealSchema, type LogMark } from "@signalbox/protocol";
import { systemClock, type Clock } from "../clock.ts";
import type { Journal, JournalEntry, Position } from "../store/store.ts";
import { AttemptLog, type LogEnd } from "./attempt-log.ts";
import { emptyMark, logTopic, readMark } from "./log-entry.ts";

/** What one read may return at most, bytes. */
export const maxReadBytes = 1024 * 1024;

/** Where an attempt's stored log ends, for readers. */
export interface StoredEnd extends LogEnd {
  /** Position of the last entry; 0 if there is none. */
  readonly position: Position;
  /** No line can follow. */
  readonly sealed: boolean;
}

/** The logs of all attempts. Knows lines and topics; whether a job or an attempt exists is for the caller to know. */
export class Logs {
  readonly #journal: Journal;
  readonly #clock: Clock;

  constructor(journal: Journal, clock: Clock = systemClock) {
    this.#journal = journal;
    this.#clock = clock;
  }

  /** Opens the door of an attempt's log. Throws Fenced if it is sealed. One at a time: of two, the first append wins. */
  open(jobId: string, attempt: number): Promise<AttemptLog> {
    return AttemptLog.open(this.#journal, jobId, attempt, this.#clock);
  }

  /** Ends an attempt's log where it is. No line can be appended after it; sealing again changes nothing. */
  async seal(jobId: string, attempt: number, reason: string): Promise<void> {
    await this.#journal.seal(logTopic(jobId, attempt), (last) => {
      const nextLine = last?.mark ?? 1;
      const seal = create(SealSchema, { reason, sealedAtUs: BigInt(this.#clock()) });
      const mark = last ? readMark(last.data) : emptyMark();
      const entry = create(LogEntrySchema, { nextLine: BigInt(nextLine), entry: { case: "seal", value: seal }, mark });
      return { data: toBinary(LogEntrySchema, entry), mark: nextLine };
    });
  }

  /** Where the stored log ends. */
  async end(jobId: string, attempt: number): Promise<StoredEnd> {
    const last = await this.#journal.last(logTopic(jobId, attempt));
    if (!last) return { nextLine: 1, mark: emptyMark(), position: 0, sealed: false };
    return { nextLine: last.mark, mark: readMark(last.data), position: last.position, sealed: last.sealed };
  }

  /** Resolves when all lines below `line` are stored, when none can follow any more, or when `signal` aborts. */
  async reached(jobId: string, attempt: number, line: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { nextLine, position, sealed } = await this.end(jobId, attempt);
      if (sealed || nextLine >= line) return;
      await this.#journal.more(logTopic(jobId, attempt), position, signal);
    }
  }

  /** Where to read from so that the entry with `line` comes first. */
  find(jobId: string, attempt: number, line: number): Promise<Position> {
    return this.#journal.find(logTopic(jobId, attempt), Math.max(1, line));
  }

  /** Entries after `from`, encoded; empty at the end. */
  read(jobId: string, attempt: number, from: Position, maxBytes: number): Promise<readonly JournalEntry[]> {
    return this.#journal.read(logTopic(jobId, attempt), from, { maxBytes });
  }

  /** Entries after `from`: history, then live; ends after the seal or when `signal` aborts. */
  tail(
    jobId: string,
    attempt: number,
    from: Position,
    signal: AbortSignal,
    maxBytes: number,
  ): AsyncGenerator<readonly JournalEntry[]> {
    return this.#journal.tail(logTopic(jobId, attempt), from, signal, { maxBytes });
  }

  /** The exact bytes that the attempt printed, up to what is stored now. Lines inside gaps are missing. */
  async *text(jobId: string, attempt: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { position: end } = await this.end(jobId, attempt);
    let position: Position = 0;
    while (position < end && !signal.aborted) {
      const entries = await this.read(jobId, attempt, position, maxReadBytes);
      for (const { data, position: at } of entries) {
        position = at;
        const { entry } = fromBinary(LogEntrySchema, data);
        if (entry.case === "chunk") yield new ChunkLines(entry.value).blob();
      }
      if (entries.length === 0) return;
    }
  }
}

/** Lines of a mark by level, as numbers. */
export function levelCounts(mark: LogMark): bigint[] {
  return mark.levelCounts.length > 0 ? mark.levelCounts : emptyMark().levelCounts;
}

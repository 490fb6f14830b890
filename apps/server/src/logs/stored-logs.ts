import { fromBinary } from "@bufbuild/protobuf";
import { ChunkLines, LogEntrySchema } from "@signalbox/protocol";
import type { Journal, JournalEntry, Position } from "../store/store.ts";
import type { LogEnd } from "./attempt-log.ts";
import { readMark } from "./log-entry.ts";

/** What one read may return at most, bytes. */
export const maxReadBytes = 1024 * 1024;

/** Where a stored log ends, for readers. */
export interface StoredEnd extends LogEnd {
  /** Position of the last entry; 0 if there is none. */
  readonly position: Position;
  /** No line can follow. */
  readonly sealed: boolean;
}

/** What is read of logs: of all attempts one each. */
export interface LogNames {
  /** The topic of an attempt's log. */
  readonly topic: (jobId: string, attempt: number) => string;
  /** Where a log stands before its first entry. */
  readonly begin: (jobId: string, attempt: number) => LogEnd | Promise<LogEnd>;
}

/** Stored lines, to read. Knows lines and topics; whether a job or an attempt exists is for the caller to know. */
export class StoredLogs {
  readonly #journal: Journal;
  readonly #names: LogNames;

  constructor(journal: Journal, names: LogNames) {
    this.#journal = journal;
    this.#names = names;
  }

  /** The topic of an attempt's log. */
  topic(jobId: string, attempt: number): string {
    return this.#names.topic(jobId, attempt);
  }

  /** Where the stored log ends. */
  async end(jobId: string, attempt: number): Promise<StoredEnd> {
    const last = await this.#journal.last(this.topic(jobId, attempt));
    if (!last) return { ...(await this.#names.begin(jobId, attempt)), position: 0, sealed: false };
    return { nextLine: last.mark, mark: readMark(last.data), position: last.position, sealed: last.sealed };
  }

  /** Resolves when all lines below `line` are stored, when none can follow any more, or when `signal` aborts. */
  async reached(jobId: string, attempt: number, line: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { nextLine, position, sealed } = await this.end(jobId, attempt);
      if (sealed || nextLine >= line) return;
      await this.#journal.more(this.topic(jobId, attempt), position, signal);
    }
  }

  /** Where to read from so that the entry with `line` comes first. */
  find(jobId: string, attempt: number, line: number): Promise<Position> {
    return this.#journal.find(this.topic(jobId, attempt), Math.max(1, line));
  }

  /** Entries after `from`, encoded; empty at the end. */
  read(jobId: string, attempt: number, from: Position, maxBytes: number): Promise<readonly JournalEntry[]> {
    return this.#journal.read(this.topic(jobId, attempt), from, { maxBytes });
  }

  /** Entries after `from`: history, then live; ends after the seal or when `signal` aborts. */
  tail(
    jobId: string,
    attempt: number,
    from: Position,
    signal: AbortSignal,
    maxBytes: number,
  ): AsyncGenerator<readonly JournalEntry[]> {
    return this.#journal.tail(this.topic(jobId, attempt), from, signal, { maxBytes });
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

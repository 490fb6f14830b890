import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { BulkEntrySchema, type BulkEntry, type BulkRecord } from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import { Conflict, UnknownOutcome, type Journal, type Position, type TopicWriter } from "../store/store.ts";
import { afterEntry, isOver, type BulkHistory } from "./bulk-fold.ts";

/** The topics of commands to many start with this. */
export const bulkTopicPrefix = "bulk/";

const tries = 5;

/** What commands to many stand on. */
export interface BulkParts {
  readonly journal: Journal;
  readonly clock: Clock;
  /** Called after an entry is durable, in order. */
  readonly afterEntry: (bulk: Bulk) => void;
}

/**
 * One command to many jobs: what is known of it, and the only way to change that. A change is one entry of its topic, conditional on the
 * entry before; changes happen one after the other. The mark of the entry that ends it is when that was, before that it is 0: so a start
 * finds those that are not over without reading the others.
 */
export class Bulk {
  readonly id: string;
  readonly #parts: BulkParts;
  #history: BulkHistory;
  #position: Position;
  #writer: TopicWriter | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(parts: BulkParts, history: BulkHistory, position: Position, writer?: TopicWriter) {
    this.id = history.record.id;
    this.#parts = parts;
    this.#history = history;
    this.#position = position;
    this.#writer = writer;
  }

  /** Stores the first entry. Throws Conflict if the topic is not empty. */
  static async start(parts: BulkParts, entry: BulkEntry): Promise<Bulk> {
    const history = afterEntry(undefined, entry);
    const writer = await parts.journal.open(topicOf(history.record.id), 0);
    const position = await writer.append(toBinary(BulkEntrySchema, entry), 0);
    const bulk = new Bulk(parts, history, position, writer);
    parts.afterEntry(bulk);
    return bulk;
  }

  /** What is stored; undefined if nothing is, or if its beginning is gone. */
  static async read(parts: BulkParts, id: string): Promise<Bulk | undefined> {
    const stored = await readHistory(parts.journal, id);
    return stored && new Bulk(parts, stored.history, stored.position);
  }

  /** What is known of it: the newest durable state. Never change it. */
  get history(): BulkHistory {
    return this.#history;
  }

  /** The newest durable record, without results. Never change it. */
  get record(): BulkRecord {
    return this.#history.record;
  }

  /**
   * Decides on what is known and stores the entry. `decide` returns undefined to change nothing, and may throw. It is called again if it
   * is open whether the entry before landed. Resolves with the record after it, when that is durable.
   */
  update(decide: (history: BulkHistory, now: number) => BulkEntry | undefined): Promise<BulkRecord> {
    const work = async () => {
      for (let attempt = 1; ; attempt++) {
        const writer = (this.#writer ??= await this.#open());
        const entry = decide(this.#history, this.#parts.clock());
        if (!entry) return this.record;
        try {
          await this.#append(writer, entry);
          return this.record;
        } catch (error) {
          this.#writer = undefined;
          if (!(error instanceof Conflict || error instanceof UnknownOutcome) || attempt >= tries) throw error;
        }
      }
    };
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => undefined); // The caller gets the error from `turn`; the next one only waits for its turn.
    return turn;
  }

  async #append(writer: TopicWriter, entry: BulkEntry): Promise<void> {
    const history = afterEntry(this.#history, entry);
    const mark = isOver(history.record) ? Number(history.record.endedAtUs) : 0;
    this.#position = await writer.append(toBinary(BulkEntrySchema, entry), mark);
    this.#history = history;
    this.#parts.afterEntry(this);
  }

  /** A writer for the topic. What landed although its commit was not confirmed is known after that. */
  async #open(): Promise<TopicWriter> {
    const writer = await this.#parts.journal.open(topicOf(this.id));
    if (writer.opened && writer.opened.position !== this.#position) {
      const stored = await readHistory(this.#parts.journal, this.id);
      if (stored) {
        this.#history = stored.history;
        this.#position = stored.position;
        this.#parts.afterEntry(this);
      }
    }
    return writer;
  }
}

/** The topic of commands to many. */
export function topicOf(bulkId: string): string {
  return `${bulkTopicPrefix}${bulkId}`;
}

async function readHistory(
  journal: Journal,
  id: string,
): Promise<{ history: BulkHistory; position: Position } | undefined> {
  let history: BulkHistory | undefined;
  for (let position: Position = 0; ;) {
    const entries = await journal.read(topicOf(id), position);
    const newest = entries.at(-1);
    if (!newest) return history && { history, position };
    for (const { data } of entries) {
      const entry = fromBinary(BulkEntrySchema, data);
      // The beginning of what ended long ago is trimmed.
      if (!history && entry.startDigest.length === 0) return undefined;
      history = afterEntry(history, entry);
    }
    position = newest.position;
  }
}

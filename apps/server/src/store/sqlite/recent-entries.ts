import type { JournalEntry, Position } from "../store.ts";

/** What an entry costs besides its bytes. */
const entryOverheadBytes = 200;

interface Topic {
  readonly name: string;
  /** Every entry after this position is here. */
  floor: Position;
  /** Entries by position; those before `first` were dropped and are undefined. */
  entries: (JournalEntry | undefined)[];
  first: number;
}

/**
 * The newest committed entries of all topics, up to a number of bytes, so that live readers need no database. Of each topic it holds
 * an unbroken run up to the topic's end.
 */
export class RecentEntries {
  readonly #maxBytes: number;
  readonly #topics = new Map<string, Topic>();
  /** The topic of every entry that was added, oldest first; those before `#oldest` were dropped. */
  #order: Topic[] = [];
  #oldest = 0;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** What is held, overhead included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes the topic's new last entry; `previous` is the position of the one before it. */
  add(name: string, previous: Position, entry: JournalEntry): void {
    let topic = this.#topics.get(name);
    if (!topic) {
      topic = { name, floor: previous, entries: [], first: 0 };
      this.#topics.set(name, topic);
    }
    topic.entries.push(entry);
    this.#order.push(topic);
    this.#bytes += cost(entry);
    while (this.#bytes > this.#maxBytes) this.#dropFirst(this.#order[this.#oldest++]!);
    if (this.#oldest > 1_000 && this.#oldest * 2 > this.#order.length) {
      this.#order = this.#order.slice(this.#oldest);
      this.#oldest = 0;
    }
  }

  /** The topic's newest entry, or undefined if it is not here. */
  last(name: string): JournalEntry | undefined {
    return this.#topics.get(name)?.entries.at(-1);
  }

  /**
   * Entries after `from`: at least one if there is any, then no more than the limits allow. Undefined if some of them may not be
   * here; empty if `from` is the end.
   */
  after(name: string, from: Position, maxEntries: number, maxBytes: number): JournalEntry[] | undefined {
    const topic = this.#topics.get(name);
    if (!topic || from < topic.floor) return undefined;
    const start = firstAfter(topic, from);
    let bytes = 0;
    let end = start;
    while (end < topic.entries.length && end - start < maxEntries) {
      bytes += topic.entries[end]!.data.byteLength;
      if (bytes > maxBytes && end > start) break;
      end++;
    }
    return topic.entries.slice(start, end) as JournalEntry[];
  }

  /** Drops the topic's entries before a position. */
  trim(name: string, before: Position): void {
    const topic = this.#topics.get(name);
    while (topic && topic.first < topic.entries.length && topic.entries[topic.first]!.position < before) {
      this.#dropFirst(topic);
    }
  }

  #dropFirst(topic: Topic): void {
    const entry = topic.entries[topic.first];
    // Trimmed before its turn came.
    if (!entry) return;
    topic.entries[topic.first++] = undefined;
    topic.floor = entry.position;
    this.#bytes -= cost(entry);
    if (topic.first === topic.entries.length) {
      topic.entries = [];
      topic.first = 0;
      this.#topics.delete(topic.name);
    } else if (topic.first > 100 && topic.first * 2 > topic.entries.length) {
      topic.entries = topic.entries.slice(topic.first);
      topic.first = 0;
    }
  }
}

function cost(entry: JournalEntry): number {
  return entry.data.byteLength + entryOverheadBytes;
}

/** Index of the first entry after a position. */
function firstAfter({ entries, first }: Topic, from: Position): number {
  // A live reader has all but the last few.
  let low = first;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries[middle]!.position > from) high = middle;
    else low = middle + 1;
  }
  return low;
}

import type { JournalEntry, Position } from "../store.ts";

/** What an entry costs besides its bytes. */
const entryOverheadBytes = 100;

/** What a reader has of a commit keeps so many times its bytes in memory at most: a reader may stand still for ever. */
const mostKept = 4;

/**
 * A buffer with the entries of a commit. It is freed when the last of them is no longer kept, unless a reader had one, who may still have it:
 * left to the collector, the buffers of a flood would have everything collected several times a second.
 */
export class CommitBuffer {
  readonly #buffer: ArrayBuffer;
  /** How many hold it: whoever made it, until all its entries are handed on, and each entry that is kept. */
  #holds = 1;
  #isLent = false;

  constructor(buffer: ArrayBuffer) {
    this.#buffer = buffer;
  }

  hold(): void {
    this.#holds++;
  }

  release(): void {
    if (--this.#holds === 0 && !this.#isLent) this.#buffer.transfer(0);
  }

  /** Bytes of it, for as long as whoever gets them needs them. A small part is copied: it would keep all the rest. */
  lend(offset: number, bytes: number): Uint8Array {
    const lent = new Uint8Array(this.#buffer, offset, bytes);
    if (bytes * mostKept < this.#buffer.byteLength) return lent.slice();
    this.#isLent = true;
    return lent;
  }
}

/** An entry whose bytes lie in a buffer beside those of others. */
export interface PlacedEntry extends Omit<JournalEntry, "data"> {
  readonly buffer: CommitBuffer;
  readonly offset: number;
  readonly bytes: number;
}

interface Topic {
  readonly name: string;
  /** Every entry after this position is here. */
  floor: Position;
  /** Numbers of its entries, rising; those before `first` were dropped. */
  numbers: number[];
  first: number;
}

/** Numbers of one entry in the ring: position, mark, sealed (0 or 1), offset, bytes. */
const columns = 5;
const atMark = 1;
const atSealed = 2;
const atOffset = 3;
const atBytes = 4;

/**
 * The newest committed entries of all topics, up to a number of bytes, so that live readers need no database. Of each topic it holds
 * an unbroken run up to the topic's end.
 *
 * Entries stand in columns, numbered in the order in which they came, and become objects when they are read: most never are, and a hundred
 * thousand of them would be most of what a collection of garbage has to go through.
 */
export class RecentEntries {
  readonly #maxBytes: number;
  readonly #topics = new Map<string, Topic>();
  /** The rings: entry `n` stands at `n % #size`. They grow to what their bytes allow, 56 bytes an entry, and stay so. */
  #size: number;
  #columns: Float64Array;
  #buffers: (CommitBuffer | undefined)[];
  /** The topic of an entry; undefined if it was dropped before its turn. */
  #owners: (Topic | undefined)[];
  /** Number of the oldest entry, and of the next. */
  #oldest = 0;
  #next = 0;
  #bytes = 0;

  /** `size`: for so many entries there is room at first. */
  constructor(maxBytes: number, size = 1_024) {
    this.#maxBytes = maxBytes;
    this.#size = size;
    this.#columns = new Float64Array(size * columns);
    this.#buffers = new Array<CommitBuffer | undefined>(size).fill(undefined);
    this.#owners = new Array<Topic | undefined>(size).fill(undefined);
  }

  /** What is held, overhead included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes the topic's new last entry; `previous` is the position of the one before it. */
  add(name: string, previous: Position, { position, mark, sealed, buffer, offset, bytes }: PlacedEntry): void {
    // First: the entry that goes may be the topic's last.
    if (this.#next - this.#oldest === this.#size) this.#makeRoom();
    let topic = this.#topics.get(name);
    if (!topic) {
      topic = { name, floor: previous, numbers: [], first: 0 };
      this.#topics.set(name, topic);
    }
    const number = this.#next++;
    const slot = number % this.#size;
    const at = slot * columns;
    this.#columns[at] = position;
    this.#columns[at + atMark] = mark;
    this.#columns[at + atSealed] = sealed ? 1 : 0;
    this.#columns[at + atOffset] = offset;
    this.#columns[at + atBytes] = bytes;
    this.#buffers[slot] = buffer;
    buffer.hold();
    this.#owners[slot] = topic;
    topic.numbers.push(number);
    this.#bytes += bytes + entryOverheadBytes;
    while (this.#bytes > this.#maxBytes) this.#dropOldest();
  }

  /** The topic's newest entry, or undefined if it is not here. */
  last(name: string): JournalEntry | undefined {
    const number = this.#topics.get(name)?.numbers.at(-1);
    return number === undefined ? undefined : this.#entry(number);
  }

  /**
   * Entries after `from`: at least one if there is any, then no more than the limits allow. Undefined if some of them may not be
   * here; empty if `from` is the end.
   */
  after(name: string, from: Position, maxEntries: number, maxBytes: number): JournalEntry[] | undefined {
    const topic = this.#topics.get(name);
    if (!topic || from < topic.floor) return undefined;
    const entries: JournalEntry[] = [];
    let bytes = 0;
    for (let i = this.#firstAfter(topic, from); i < topic.numbers.length && entries.length < maxEntries; i++) {
      const entry = this.#entry(topic.numbers[i]!);
      bytes += entry.data.byteLength;
      if (bytes > maxBytes && entries.length > 0) break;
      entries.push(entry);
    }
    return entries;
  }

  /** Drops the topic's entries before a position. */
  trim(name: string, before: Position): void {
    const topic = this.#topics.get(name);
    while (topic && topic.first < topic.numbers.length && this.#column(topic.numbers[topic.first]!, 0) < before) {
      this.#dropFirst(topic);
    }
  }

  #column(number: number, column: number): number {
    return this.#columns[(number % this.#size) * columns + column]!;
  }

  #entry(number: number): JournalEntry {
    const slot = number % this.#size;
    const at = slot * columns;
    const [offset, bytes] = [this.#columns[at + atOffset]!, this.#columns[at + atBytes]!];
    return {
      position: this.#columns[at]!,
      mark: this.#columns[at + atMark]!,
      sealed: this.#columns[at + atSealed] === 1,
      data: this.#buffers[slot]!.lend(offset, bytes),
    };
  }

  #dropOldest(): void {
    const topic = this.#owners[this.#oldest % this.#size];
    this.#oldest++;
    // What was trimmed had its turn.
    if (topic) this.#dropFirst(topic);
  }

  #dropFirst(topic: Topic): void {
    const number = topic.numbers[topic.first++]!;
    const slot = number % this.#size;
    topic.floor = this.#column(number, 0);
    this.#bytes -= this.#column(number, atBytes) + entryOverheadBytes;
    this.#buffers[slot]?.release();
    this.#buffers[slot] = undefined;
    this.#owners[slot] = undefined;
    if (topic.first === topic.numbers.length) {
      this.#topics.delete(topic.name);
    } else if (topic.first > 100 && topic.first * 2 > topic.numbers.length) {
      topic.numbers = topic.numbers.slice(topic.first);
      topic.first = 0;
    }
  }

  /** Index of the topic's first entry after a position. */
  #firstAfter({ numbers, first }: Topic, from: Position): number {
    // A live reader has all but the last few.
    let low = first;
    let high = numbers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#column(numbers[middle]!, 0) > from) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The rings are full: they grow as long as their bound in bytes needs it. Beyond that it is what was trimmed that fills them. */
  #makeRoom(): void {
    if (this.#size * entryOverheadBytes < this.#maxBytes) this.#grow();
    else this.#dropOldest();
  }

  /** To twice the size. The rings are full: they are two runs, and each is copied whole. */
  #grow(): void {
    const size = this.#size * 2;
    const grown = new Float64Array(size * columns);
    const buffers = new Array<CommitBuffer | undefined>(size).fill(undefined);
    const owners = new Array<Topic | undefined>(size).fill(undefined);
    const middle = this.#oldest % this.#size;
    for (const [from, end] of [
      [middle, this.#size],
      [0, middle],
    ] as const) {
      const to = (this.#oldest + (from === middle ? 0 : this.#size - middle)) % size;
      grown.set(this.#columns.subarray(from * columns, end * columns), to * columns);
      for (let i = from; i < end; i++) {
        buffers[to + i - from] = this.#buffers[i];
        owners[to + i - from] = this.#owners[i];
      }
    }
    this.#size = size;
    this.#columns = grown;
    this.#buffers = buffers;
    this.#owners = owners;
  }
}

import { Conflict, Fenced } from "../store.ts";
import type { Journal, JournalEntry, Position, ReadLimit, TopicInfo, TopicWriter } from "../store.ts";
import type { WriterState } from "./group-commit.ts";
import { assertData, assertMark, assertName, assertPrefix } from "./limits.ts";
import { unpackEntries } from "./packed-entries.ts";
import type { StoreFile } from "./store-file.ts";

const defaultMaxEntries = 1_000;
const defaultMaxBytes = 1024 * 1024;

/** The topics of one file. */
export class FileJournal implements Journal {
  readonly #file: StoreFile;
  /** Seals under way: of each topic one at a time. */
  readonly #seals = new Map<string, Promise<Position>>();
  #lastWriter = 0;

  constructor(file: StoreFile) {
    this.#file = file;
  }

  async open(topic: string, expectedLast?: Position): Promise<TopicWriter> {
    const last = await this.last(topic);
    if (last?.sealed) throw new Fenced(`${topic} is sealed`);
    if (expectedLast !== undefined && expectedLast !== (last?.position ?? 0)) {
      throw new Conflict(`${topic} ends at ${last?.position ?? 0}, not at ${expectedLast}`);
    }
    return new FileTopicWriter(this.#file, ++this.#lastWriter, topic, last);
  }

  async seal(
    topic: string,
    make: (last: JournalEntry | undefined) => { data: Uint8Array; mark: number },
  ): Promise<Position> {
    this.#check(topic);
    for (let other = this.#seals.get(topic); other; other = this.#seals.get(topic)) {
      // The other one's error is its caller's; here only its end counts.
      await other.catch(() => undefined);
    }
    this.#file.assertOpen();
    const seal = this.#seal(topic, make).finally(() => this.#seals.delete(topic));
    this.#seals.set(topic, seal);
    return seal;
  }

  async read(topic: string, from: Position, limit: ReadLimit = {}): Promise<readonly JournalEntry[]> {
    this.#check(topic);
    const maxEntries = Math.min(Math.floor(limit.maxEntries ?? defaultMaxEntries), Number.MAX_SAFE_INTEGER);
    const maxBytes = limit.maxBytes ?? defaultMaxBytes;
    if (!(maxEntries >= 1)) throw new RangeError(`maxEntries must be at least 1, not ${maxEntries}`);
    const recent = this.#file.recent.after(topic, from, maxEntries, maxBytes);
    return recent ?? unpackEntries(await this.#file.reader.call("read", [topic, from, maxEntries, maxBytes]));
  }

  async find(topic: string, mark: number): Promise<Position> {
    this.#check(topic);
    return this.#file.reader.call("find", [topic, mark]);
  }

  async *tail(
    topic: string,
    from: Position,
    signal: AbortSignal,
    limit?: ReadLimit,
  ): AsyncGenerator<readonly JournalEntry[], void, void> {
    let position = from;
    while (!signal.aborted) {
      const entries = await this.read(topic, position, limit);
      const newest = entries.at(-1);
      if (newest) {
        yield entries;
        if (newest.sealed) return;
        position = newest.position;
      } else if ((await this.#untilMore(topic, position, signal, true)) === "ended") {
        return;
      }
    }
  }

  async more(topic: string, from: Position, signal: AbortSignal): Promise<void> {
    this.#check(topic);
    await this.#untilMore(topic, from, signal, false);
  }

  async last(topic: string): Promise<JournalEntry | undefined> {
    this.#check(topic);
    return this.#last(topic);
  }

  async topics(prefix: string): Promise<readonly TopicInfo[]> {
    assertPrefix(prefix);
    this.#file.assertOpen();
    const { names, columns } = await this.#file.reader.call("topics", [prefix]);
    return names.map((topic, i) => ({
      topic,
      last: columns[i * 3]!,
      mark: columns[i * 3 + 1]!,
      sealed: columns[i * 3 + 2] === 1,
    }));
  }

  async trim(topic: string, before: Position): Promise<void> {
    this.#check(topic);
    // In steps, so that appends can go between them.
    while ((await this.#file.commits.change({ kind: "trim", topic, before })) > 0) this.#file.assertOpen();
  }

  #check(topic: string): void {
    assertName(topic);
    this.#file.assertOpen();
  }

  async #last(topic: string): Promise<JournalEntry | undefined> {
    const recent = this.#file.recent.last(topic);
    return recent ?? unpackEntries(await this.#file.reader.call("last", [topic]))[0];
  }

  /** Waits for an entry after `from`, for the signal, or (if `stopAtSeal`) for the end of the topic. */
  async #untilMore(
    topic: string,
    from: Position,
    signal: AbortSignal,
    stopAtSeal: boolean,
  ): Promise<"more" | "ended" | "aborted"> {
    using news = this.#file.topics.watch(topic);
    while (!signal.aborted) {
      const seen = news.count;
      const newest = this.#file.recent.last(topic);
      const end = newest
        ? { last: newest.position, sealed: newest.sealed }
        : await this.#file.reader.call("end", [topic]);
      if (end.last > from) return "more";
      if (end.sealed && stopAtSeal) return "ended";
      await news.changed(seen, signal);
    }
    return "aborted";
  }

  /** Appends of others wait meanwhile, or a fast writer would always be first. */
  async #seal(
    topic: string,
    make: (last: JournalEntry | undefined) => { data: Uint8Array; mark: number },
  ): Promise<Position> {
    const release = this.#file.commits.hold(topic);
    try {
      for (;;) {
        const last = await this.#last(topic);
        if (last?.sealed) return last.position;
        const { data, mark } = make(last);
        const raised = Math.max(mark, last?.mark ?? 0);
        assertData(data);
        assertMark(raised, 0);
        const writer = { id: ++this.#lastWriter, topic, last: last?.position ?? 0, dead: undefined };
        try {
          return await this.#file.commits.append(writer, [data], raised, { sealed: true, urgent: true });
        } catch (error) {
          if (!(error instanceof Conflict || error instanceof Fenced)) throw error;
        }
      }
    } finally {
      release();
    }
  }
}

class FileTopicWriter implements TopicWriter {
  readonly topic: string;
  readonly opened: JournalEntry | undefined;
  readonly #file: StoreFile;
  readonly #state: WriterState;
  #mark: number;

  constructor(file: StoreFile, id: number, topic: string, opened: JournalEntry | undefined) {
    this.topic = topic;
    this.opened = opened;
    this.#file = file;
    this.#state = { id, topic, last: opened?.position ?? 0, dead: undefined };
    this.#mark = opened?.mark ?? 0;
  }

  append(data: Uint8Array | readonly Uint8Array[], mark: number): Promise<Position> {
    const pieces = data instanceof Uint8Array ? [data] : data;
    try {
      if (this.#state.dead) throw this.#state.dead;
      this.#file.assertOpen();
      assertData(...pieces);
      assertMark(mark, this.#mark);
    } catch (error) {
      const refusal = error instanceof Error ? error : new Error(String(error));
      this.#state.dead ??= refusal;
      return Promise.reject(refusal);
    }
    this.#mark = mark;
    return this.#file.commits.append(this.#state, pieces, mark);
  }
}

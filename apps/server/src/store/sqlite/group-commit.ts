import { Conflict, Fenced, NotStored, UnknownOutcome } from "../store.ts";
import type { Position } from "../store.ts";
import { outcomes, packAppends } from "./batch.ts";
import type { Batch, BatchOutcome, Change } from "./batch.ts";
import { CommitBuffer, type PlacedEntry } from "./recent-entries.ts";
import type { Room } from "./room.ts";
import { CallFailed } from "./thread.ts";
import type { Thread } from "./thread.ts";
import type { WriterCalls } from "./writer-thread.ts";

/** What one commit takes at most. More than that waits for the next. */
const maxBatchBytes = 4 * 1024 * 1024;

/**
 * What one topic has of a commit at most, and what an entry counts there besides its data. A writer with thousands of tiny entries, or
 * megabytes of large ones, takes several commits, and whoever comes meanwhile is in the next one.
 */
const shareBytes = 512 * 1024;
const shareEntryBytes = 4 * 1024;

/** So much that waits is committed without a rest: then it is the bytes that cost, not the commit. */
const restlessBytes = 512 * 1024;

/** What an append or change costs besides its data, so that a batch of empty ones ends too. */
const overheadBytes = 100;

/** A writer as the main thread knows it. */
export interface WriterState {
  readonly id: number;
  readonly topic: string;
  /** Position of the writer's last acknowledged entry, or of the one that it goes on from. */
  last: Position;
  /** Why the writer can append no more. */
  dead: Error | undefined;
}

interface QueuedAppend {
  readonly kind: "append";
  readonly writer: WriterState;
  /** The entry's bytes, in pieces that are put together when they are copied. */
  readonly data: readonly Uint8Array[];
  readonly bytes: number;
  readonly mark: number;
  readonly sealed: boolean;
  resolve(position: Position): void;
  reject(error: Error): void;
}

interface QueuedChange {
  readonly kind: "change";
  readonly change: Change;
  readonly data: readonly Uint8Array[];
  readonly bytes: number;
  resolve(outcome: number): void;
  reject(error: Error): void;
}

type Queued = QueuedAppend | QueuedChange;

interface Held {
  readonly appends: QueuedAppend[];
  readonly released: Promise<void>;
}

/** What a commit tells the ones above it, before any append or change of it resolves. */
export interface CommitEvents {
  /** An entry is durable; `previous` is the position of the topic's entry before it. Called in the order of positions. */
  appended(topic: string, previous: Position, entry: PlacedEntry): void;
  /** A change is durable. `revision` is what a put or delete gave its record, 0 if it changed nothing; `data` belongs to a put. */
  changed(change: Change, revision: number, data: Uint8Array | undefined): void;
  /** After each commit: how many bytes the file's reserve lacks. */
  reserve(lacks: number): void;
  /** The write-ahead log has grown and should be moved into the database. */
  grown(): void;
}

/** How commits are paced, and what becomes of those that find no room. */
export interface CommitOptions {
  /** The least time from the begin of one commit to that of the next, milliseconds. */
  readonly restMs: number;
  /** Commits wait for room here; without it those that find none are rejected. */
  readonly room?: Room;
}

/** Figures of one file; see StoreStats. */
export interface CommitStats {
  commits: number;
  appends: number;
  appendedBytes: number;
  pendingBytes: number;
  lastCommitMs: number;
}

/**
 * Collects appends and changes for a file and has them committed: one commit under way, and the next takes whatever has arrived
 * since. So a lone append goes at once and many share one fsync.
 *
 * With `restMs` two commits begin at least so far apart, unless much waits: a thousand writers of single lines would else have a commit
 * each, which costs a hundred times what their lines do.
 */
export class GroupCommit {
  readonly stats: CommitStats = { commits: 0, appends: 0, appendedBytes: 0, pendingBytes: 0, lastCommitMs: 0 };
  readonly #thread: Thread<WriterCalls>;
  readonly #events: CommitEvents;
  readonly #held = new Map<string, Held>();
  readonly #restMs: number;
  readonly #room: Room | undefined;
  #queue: Queued[] = [];
  #queuedBytes = 0;
  #begunAtMs = -Infinity;
  /** Ends the rest between two commits. */
  #endRest: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #ended: Error | undefined;

  constructor(thread: Thread<WriterCalls>, events: CommitEvents, { restMs, room }: CommitOptions) {
    this.#thread = thread;
    this.#events = events;
    this.#restMs = restMs;
    this.#room = room;
  }

  /** Queues an append; resolves when it is durable. `urgent` passes a {@link hold} of the topic. */
  append(
    writer: WriterState,
    data: readonly Uint8Array[],
    mark: number,
    { sealed = false, urgent = false } = {},
  ): Promise<Position> {
    return new Promise((resolve, reject) => {
      const bytes = lengthOf(data);
      const append: QueuedAppend = { kind: "append", writer, data, bytes, mark, sealed, resolve, reject };
      this.stats.pendingBytes += bytes;
      const held = urgent ? undefined : this.#held.get(writer.topic);
      if (held) held.appends.push(append);
      else this.#enqueue(append);
    });
  }

  /** Queues a change; resolves with its outcome when it is durable. `data` belongs to a put. */
  change(change: Change, data?: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#enqueue({
        kind: "change",
        change,
        data: data ? [data] : [],
        bytes: data?.byteLength ?? 0,
        resolve,
        reject,
      }),
    );
  }

  /** Lets appends to a topic wait until the returned function is called. Only one may hold a topic at a time. */
  hold(topic: string): () => void {
    const { promise: released, resolve } = Promise.withResolvers<void>();
    const held: Held = { appends: [], released };
    this.#held.set(topic, held);
    return () => {
      this.#held.delete(topic);
      for (const append of held.appends) this.#enqueue(append);
      resolve();
    };
  }

  /** Resolves when nothing is queued, held or under way. */
  async idle(): Promise<void> {
    this.#endRest?.();
    while (this.#running || this.#held.size > 0) {
      await Promise.all([this.#running, ...[...this.#held.values()].map(({ released }) => released)]);
    }
  }

  /** Nothing will be committed any more: fails what waits. */
  end(error: Error): void {
    this.#ended ??= error;
    this.#endRest?.();
    const waiting: Queued[] = this.#queue.splice(0);
    this.#queuedBytes = 0;
    for (const { appends } of this.#held.values()) waiting.push(...appends.splice(0));
    for (const queued of waiting) this.#fail(queued, unknownOutcome(this.#ended));
  }

  #enqueue(queued: Queued): void {
    if (this.#ended) {
      this.#fail(queued, unknownOutcome(this.#ended));
      return;
    }
    this.#queue.push(queued);
    this.#queuedBytes += queued.bytes + overheadBytes;
    if (this.#queuedBytes >= restlessBytes) this.#endRest?.();
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    // Everything that the caller appends in the same breath goes into the same commit.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const restMs = this.#begunAtMs + this.#restMs - performance.now();
      if (restMs > 0 && this.#queuedBytes < restlessBytes) await this.#rest(restMs);
      this.#begunAtMs = performance.now();
      const batch = this.#takeBatch();
      if (batch.length > 0) await this.#commit(batch);
    }
    this.#running = undefined;
  }

  async #rest(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endRest = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endRest = undefined;
  }

  #takeBatch(): Queued[] {
    const taken: Queued[] = [];
    const left: Queued[] = [];
    const shares = new Map<string, number>();
    let bytes = 0;
    let at = 0;
    for (; at < this.#queue.length; at++) {
      const queued = this.#queue[at]!;
      const next = queued.bytes + overheadBytes;
      if (bytes + next > maxBatchBytes && bytes > 0) break;
      if (queued.kind === "append") {
        const { topic } = queued.writer;
        const share = shares.get(topic) ?? 0;
        // What follows an entry that waits waits too: the order of a topic stands.
        shares.set(topic, share + queued.bytes + shareEntryBytes);
        if (share >= shareBytes) {
          left.push(queued);
          continue;
        }
      }
      bytes += next;
      taken.push(queued);
    }
    this.#queue = left.length > 0 ? left.concat(this.#queue.slice(at)) : this.#queue.slice(at);
    this.#queuedBytes -= bytes;
    return taken.filter((queued) => {
      const dead = queued.kind === "append" ? queued.writer.dead : undefined;
      if (dead) this.#fail(queued, dead);
      return !dead;
    });
  }

  async #commit(batch: readonly Queued[]): Promise<void> {
    const appends = batch.filter((queued) => queued.kind === "append");
    const changes = batch.filter((queued) => queued.kind === "change");
    let outcome: BatchOutcome;
    try {
      outcome = await this.#store({
        ...packAppends(
          appends.map(({ writer, bytes, mark, sealed }) => ({
            topic: writer.topic,
            writer: writer.id,
            after: writer.last,
            mark,
            sealed,
            bytes,
          })),
        ),
        changes: changes.map(({ change }) => change),
        data: pack([...appends, ...changes]),
      });
    } catch (error) {
      const reason = error instanceof Error ? error : new CallFailed(String(error), undefined);
      for (const queued of batch) this.#fail(queued, unknownOutcome(reason));
      return;
    }
    this.stats.lastCommitMs = outcome.ms;
    this.#events.reserve(outcome.reserveLacks);
    if (outcome.toMove) this.#events.grown();
    if (outcome.failed !== undefined) {
      const error = outcome.noRoom
        ? new NotStored(`the disk did not take it: ${outcome.failed}`)
        : unknownOutcome(new Error(outcome.failed));
      for (const queued of batch) this.#fail(queued, error);
      return;
    }
    this.stats.commits++;
    this.#settleAppends(appends, outcome);
    changes.forEach((queued, i) => this.#settleChange(queued, outcome.changes[i]!));
  }

  /** Has the batch committed, again and again while there is no room for it and it may wait. */
  async #store(batch: Batch): Promise<BatchOutcome> {
    const room = this.#room;
    const call = (data: ArrayBuffer) => this.#thread.call("commit", [{ ...batch, data }], [data]);
    if (!room) return call(batch.data);
    let waited = false;
    let outcome: BatchOutcome | undefined;
    for (;;) {
      if (!room.isOpen) {
        waited = true;
        if (!(await room.wait())) return outcome ?? notTried(batch);
      }
      outcome = await call(outcome?.data ?? batch.data);
      if (outcome.noRoom) room.refused(outcome.failed ?? "", outcome.isFull);
      if (waited) room.tried(!outcome.noRoom);
      if (!outcome.noRoom) return outcome;
    }
  }

  #settleAppends(appends: readonly QueuedAppend[], outcome: BatchOutcome): void {
    const buffer = new CommitBuffer(outcome.data);
    let offset = 0;
    appends.forEach(({ writer, bytes, mark, sealed }, i) => {
      const position = outcome.appends[i]!;
      if (position > 0) {
        const entry = { position, mark, sealed, buffer, offset, bytes };
        this.#events.appended(writer.topic, writer.last, entry);
        writer.last = position;
        this.stats.appends++;
        this.stats.appendedBytes += bytes;
      }
      offset += bytes;
    });
    buffer.release();
    appends.forEach((append, i) => {
      const position = outcome.appends[i]!;
      if (position > 0) {
        this.stats.pendingBytes -= append.bytes;
        append.resolve(position);
      } else {
        this.#fail(append, refusal(append.writer.topic, position));
      }
    });
  }

  #settleChange(queued: QueuedChange, outcome: number): void {
    const { change } = queued;
    if (outcome === outcomes.conflict) {
      queued.reject(new Conflict(`another change of ${"key" in change ? change.key : change.kind} came first`));
      return;
    }
    this.#events.changed(change, outcome, queued.data[0]);
    queued.resolve(outcome);
  }

  #fail(queued: Queued, error: Error): void {
    if (queued.kind === "append") {
      queued.writer.dead ??= error;
      this.stats.pendingBytes -= queued.bytes;
    }
    queued.reject(error);
  }
}

/** The outcome of a batch that was given up before any try. */
function notTried({ data }: Batch): BatchOutcome {
  const failed = "the disk is full";
  const nothing = { reserveLacks: 0, toMove: false, appends: new Float64Array(), changes: [], ms: 0 };
  return { data, failed, noRoom: true, isFull: true, ...nothing };
}

function refusal(topic: string, outcome: number): Error {
  return outcome === outcomes.fenced
    ? new Fenced(`${topic} is sealed`)
    : new Conflict(`another writer appended to ${topic} first`);
}

function unknownOutcome(cause: Error): UnknownOutcome {
  return new UnknownOutcome(`the commit failed: ${cause.message}`, { cause });
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
}

/** Copies the data of all into one buffer: the only time that an entry's bytes are copied on the main thread. */
function pack(batch: readonly Queued[]): ArrayBuffer {
  const packed = new Uint8Array(batch.reduce((sum, queued) => sum + queued.bytes, 0));
  let offset = 0;
  for (const { data } of batch) {
    for (const piece of data) {
      packed.set(piece, offset);
      offset += piece.byteLength;
    }
  }
  return packed.buffer;
}

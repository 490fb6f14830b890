import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  BulkCommandSchema,
  BulkOutcome,
  BulkRecordSchema,
  JobState,
  PreviewBulkResponseSchema,
  StartBulkRequestSchema,
  type Actor,
  type BulkRecord,
  type PreviewBulkRequest,
  type PreviewBulkResponse,
  type StartBulkRequest,
} from "@signalbox/protocol";
import { digestOfRequest } from "../digest.ts";
import { Refused } from "../refused.ts";
import { Conflict, StoreClosed, UnknownOutcome, type Store, type Table } from "../store/store.ts";
import { Bulk, bulkTopicPrefix, topicOf, type BulkParts } from "./bulk.ts";
import { entryOfStart, isOver, stateWords } from "./bulk-fold.ts";
import { BulkRun, type RunParts } from "./bulk-run.ts";
import { judgeOf, type Verdict } from "./judge.ts";
import { select, type Selected } from "./selection.ts";

/** Name of the table that caches the newest record of each of the commands to many that are listed. */
export const bulksTable = "bulks";

const dayUs = 86_400_000_000;
/** So many are listed; beyond that the oldest are left out earlier. */
const mostListed = 1_000;
/** So many may be held or run at a time. */
const mostOpen = 20;
/** What is over for a day is looked for so often, milliseconds. */
const forgetEveryMs = 600_000;
const defaults = { holdMs: 5_000, perSecond: 100 };
const most = { holdMs: 60_000, perSecond: 1_000, requestId: 100, commandBytes: 80 * 1024 };
/** A message has its bound. */
const largestListBytes = 2 * 1024 * 1024;
/** So many jobs are judged before others have a turn. */
const judgedAtOnce = 250;

interface Parts extends RunParts {
  readonly store: Store;
}

/** Commands to many jobs: those that are held or run, and those that ended within a day. */
export class Bulks {
  readonly #parts: Parts;
  readonly #bulkParts: BulkParts;
  readonly #table: Table;
  /** The newest record of each that is listed, oldest first. */
  readonly #records = new Map<string, BulkRecord>();
  readonly #runs = new Map<string, BulkRun>();
  /** Those whose first entry is being stored. */
  readonly #starting = new Map<string, Promise<Bulk>>();
  /** Those whose record is being cached; true: it changed again meanwhile. */
  readonly #caching = new Map<string, boolean>();
  readonly #timer: NodeJS.Timeout;
  #forgetting: Promise<void> | undefined;
  #revision = 0;
  #draining = false;

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.#table = parts.store.table(bulksTable);
    this.#bulkParts = {
      journal: parts.store.journal,
      clock: parts.clock,
      afterEntry: (bulk) => this.#afterEntry(bulk),
    };
    this.#timer = setInterval(() => this.#forget(), forgetEveryMs);
    this.#timer.unref();
  }

  /** Reads those that are listed. Those that are not over go on with {@link begin}. */
  static async open(parts: Parts): Promise<Bulks> {
    const bulks = new Bulks(parts);
    const { records, revision } = await bulks.#table.list();
    await bulks.#table.compact(revision);
    bulks.#revision = revision;
    const listed: BulkRecord[] = [];
    const topics = new Map((await parts.store.journal.topics(bulkTopicPrefix)).map((each) => [each.topic, each]));
    for (const { data } of records) {
      const record = data && fromBinary(BulkRecordSchema, data);
      const topic = record && topics.get(topicOf(record.id));
      if (!topic || Number(record.endedAtUs) !== topic.mark || topic.mark === 0) continue;
      listed.push(record);
      topics.delete(topic.topic);
    }
    // What is not over, and what was not cached any more.
    const since = parts.clock() - dayUs;
    for (const { topic, mark } of topics.values()) {
      if (mark !== 0 && mark < since) continue;
      const id = topic.slice(bulkTopicPrefix.length);
      const bulk = await Bulk.read(bulks.#bulkParts, id);
      if (!bulk) continue;
      listed.push(bulk.record);
      bulks.#revision = await bulks.#table.put(id, toBinary(BulkRecordSchema, bulk.record));
      if (!isOver(bulk.record)) bulks.#runs.set(id, bulks.#run(bulk, true));
    }
    listed.sort((a, b) => Number(a.createdAtUs - b.createdAtUs));
    for (const record of listed) bulks.#records.set(record.id, record);
    bulks.#forget();
    return bulks;
  }

  /** The newest known revision of the table that caches the records. */
  get revision(): number {
    return this.#revision;
  }

  /** What would happen now. Changes nothing. Throws Refused where the command or the selection makes no sense. */
  async preview({ selection, command }: PreviewBulkRequest): Promise<PreviewBulkResponse> {
    if (!command) throw new Refused("invalid", "The request has no command.");
    const selected = select(this.#parts.jobs, selection);
    const judge = judgeOf(command, this.#parts.workers, this.#parts.clock);
    const touched = new Map<JobState, number>();
    const skipped = new Map<string, { state: JobState; reason: string; jobs: number }>();
    let touchedTotal = 0;
    let skippedTotal = 0;
    for await (const { state, verdict } of judged(selected, judge)) {
      if (verdict.outcome === BulkOutcome.ACCEPTED) {
        touchedTotal++;
        touched.set(state, (touched.get(state) ?? 0) + 1);
      } else {
        skippedTotal++;
        const key = `${state} ${verdict.reason}`;
        const count = skipped.get(key) ?? { state, reason: verdict.reason, jobs: 0 };
        count.jobs++;
        skipped.set(key, count);
      }
    }
    const byState = [...touched].sort(([a], [b]) => a - b);
    const byReason = [...skipped.values()].sort((a, b) => a.state - b.state || b.jobs - a.jobs);
    return create(PreviewBulkResponseSchema, {
      touchedTotal,
      skippedTotal,
      touched: byState.map(([state, jobs]) => ({ state, jobs })),
      skipped: byReason,
    });
  }

  /**
   * Accepts commands to the jobs that are selected now, and holds them. The same request of the same actor returns what it has begun before.
   * Throws Refused.
   */
  async start(request: StartBulkRequest, actor: Actor): Promise<BulkRecord> {
    check(request);
    const id = bulkIdOf(actor, request.requestId);
    const digest = digestOfRequest(StartBulkRequestSchema, request);
    // The same request at the same time: the other one is first. Its error is its caller's; here only its end counts.
    for (let other = this.#starting.get(id); other; other = this.#starting.get(id)) await other.catch(() => undefined);
    if (this.#records.has(id)) return this.#same(id, digest, request.requestId);
    const starting = this.#begin(id, request, digest, actor).finally(() => this.#starting.delete(id));
    this.#starting.set(id, starting);
    try {
      return (await starting).record;
    } catch (error) {
      if (!(error instanceof Conflict || error instanceof UnknownOutcome)) throw error;
      // It may have landed all the same, now or long ago.
      return this.#same(id, digest, request.requestId);
    }
  }

  /** Holds it no longer. Throws Refused. */
  async release(id: string, actor: Actor): Promise<BulkRecord> {
    return this.#open(id, "released").release(actor);
  }

  /** Takes it back while it is held. Throws Refused. */
  async undo(id: string, actor: Actor): Promise<BulkRecord> {
    return this.#open(id, "undone").undo(actor);
  }

  /** Stops it half-way. Throws Refused. */
  async stop(id: string, actor: Actor): Promise<BulkRecord> {
    return this.#open(id, "stopped").stop(actor);
  }

  /** The record with what became of each job so far. Throws Refused. */
  async get(id: string): Promise<BulkRecord> {
    this.#listed(id);
    const bulk = this.#runs.get(id)?.bulk ?? (await Bulk.read(this.#bulkParts, id));
    if (!bulk) throw noSuchBulk(id);
    return { ...bulk.record, results: [...bulk.history.results] };
  }

  /** Those of the last day, newest first, without results; as many as a message holds. */
  list(): BulkRecord[] {
    const newest: BulkRecord[] = [];
    let bytes = 0;
    for (const record of [...this.#records.values()].reverse()) {
      bytes += toBinary(BulkRecordSchema, record).length;
      if (bytes > largestListBytes) break;
      newest.push(record);
    }
    return newest;
  }

  /** Gives no more commands and takes no more. What is held or half-way goes on at the next start. */
  beginDrain(): void {
    this.#draining = true;
    for (const run of this.#runs.values()) void run.suspend();
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.beginDrain();
    clearInterval(this.#timer);
    await Promise.all([...this.#runs.values()].map((run) => run.ended));
    await this.#forgetting;
  }

  async #begin(id: string, request: StartBulkRequest, startDigest: Uint8Array, actor: Actor): Promise<Bulk> {
    const { command } = request;
    if (!command) throw new Refused("invalid", "The request has no command.");
    if (this.#draining) throw new Refused("unavailable", "The server is stopping. Try again in a moment.");
    const selected = select(this.#parts.jobs, request.selection);
    const judge = judgeOf(command, this.#parts.workers, this.#parts.clock);
    let touched = 0;
    let whyNot = "";
    for await (const { verdict } of judged(selected, judge))
      if (verdict.outcome === BulkOutcome.ACCEPTED) touched++;
      else whyNot ||= verdict.reason;
    if (touched === 0)
      throw new Refused(
        "wrong-state",
        selected.jobs.length === 0
          ? `No job fits: ${selected.words}.`
          : `Nothing is left to do for ${selected.words}: ${whyNot}.`,
      );
    if (this.#runs.size >= mostOpen)
      throw new Refused(
        "exhausted",
        `${mostOpen} commands to many are held or run already. Wait until one of them is done, or stop one.`,
      );
    const entry = entryOfStart(
      {
        ...{ id, actor, command, startDigest },
        jobIds: selected.jobs.map((job) => job.id),
        selectionWords: selected.words,
        holdMs: request.holdMs ?? defaults.holdMs,
        perSecond: request.perSecond || defaults.perSecond,
      },
      this.#parts.clock(),
    );
    const bulk = await Bulk.start(this.#bulkParts, entry);
    this.#runs.set(id, this.#run(bulk, false));
    this.#forget();
    return bulk;
  }

  /** What the same request began before. Throws Refused if it was another one. */
  async #same(id: string, digest: Uint8Array, requestId: string): Promise<BulkRecord> {
    const known = this.#runs.get(id)?.bulk ?? (await Bulk.read(this.#bulkParts, id));
    if (!known || Buffer.compare(known.history.startDigest, digest) !== 0)
      throw new Refused(
        "exists",
        `Request id ${requestId} was used for other commands to many. Nothing was done; use a new id.`,
      );
    // The commit of its first entry was not confirmed, but it landed.
    if (!this.#records.has(id) && !isOver(known.record)) {
      this.#afterEntry(known);
      this.#runs.set(id, this.#run(known, false));
    }
    return known.record;
  }

  #run(bulk: Bulk, resumed: boolean): BulkRun {
    const run = new BulkRun(bulk, this.#parts, resumed);
    void run.ended.then(() => {
      if (isOver(bulk.record)) this.#runs.delete(bulk.id);
    });
    if (this.#draining) void run.suspend();
    return run;
  }

  /** One that is held or runs. Throws Refused if it is not known, or over. */
  #open(id: string, what: string): BulkRun {
    const record = this.#listed(id);
    const run = this.#runs.get(id);
    if (!run) throw new Refused("wrong-state", `It cannot be ${what}: it ${stateWords[record.state]}.`);
    return run;
  }

  #listed(id: string): BulkRecord {
    const record = this.#records.get(id);
    if (!record) throw noSuchBulk(id);
    return record;
  }

  #afterEntry({ id, record }: Bulk): void {
    this.#records.set(id, record);
    void this.#cache(id);
  }

  /** Writes the newest record to the table, one write of each at a time. A failed write is made good at the next start. */
  async #cache(id: string): Promise<void> {
    if (this.#caching.has(id)) {
      this.#caching.set(id, true);
      return;
    }
    this.#caching.set(id, true);
    try {
      while (this.#caching.get(id)) {
        this.#caching.set(id, false);
        const record = this.#records.get(id);
        if (!record) return;
        const revision = await this.#table.put(id, toBinary(BulkRecordSchema, record));
        if (revision > this.#revision) this.#revision = revision;
      }
    } catch (error) {
      if (!(error instanceof StoreClosed))
        this.#parts.logger.error({ err: error, bulk: id }, "the record of commands to many could not be cached");
    } finally {
      this.#caching.delete(id);
    }
  }

  /** Lists no more what has been over for a day, and trims what is stored of it to its last entry. */
  #forget(): void {
    this.#forgetting ??= this.#forgetOld()
      .catch((error: unknown) => {
        if (!(error instanceof StoreClosed))
          this.#parts.logger.error({ err: error }, "old commands to many could not be trimmed; it is tried again");
      })
      .finally(() => (this.#forgetting = undefined));
  }

  async #forgetOld(): Promise<void> {
    const { store, clock } = this.#parts;
    const since = BigInt(clock() - dayUs);
    let over = this.#records.size - mostListed;
    for (const record of [...this.#records.values()]) {
      if (!isOver(record) || this.#caching.has(record.id)) continue;
      if (over <= 0 && record.endedAtUs >= since) continue;
      if (this.#draining) return;
      over--;
      const last = await store.journal.last(topicOf(record.id));
      // Its record goes last: what breaks off here is done again.
      if (last) await store.journal.trim(topicOf(record.id), last.position);
      await this.#table.delete(record.id);
      this.#records.delete(record.id);
    }
  }
}

/** The id of the commands to many that this request of this actor begins. */
export function bulkIdOf(actor: Actor, requestId: string): string {
  const hash = createHash("sha256").update(`bulk\n${actor.kind}\n${actor.name}\n${requestId}`).digest();
  return `b-${hash.readBigUInt64BE().toString(36).padStart(13, "0").slice(-10)}`;
}

/** What a selection's jobs would do. Others have their turn meanwhile. */
async function* judged(
  { jobs }: Selected,
  judge: ReturnType<typeof judgeOf>,
): AsyncGenerator<{ state: JobState; verdict: Verdict }> {
  for (const [i, { record }] of jobs.entries()) {
    if (i % judgedAtOnce === judgedAtOnce - 1) await setImmediate();
    yield record
      ? { state: record.state, verdict: judge(record) }
      : { state: JobState.UNSPECIFIED, verdict: { outcome: BulkOutcome.SKIPPED, reason: "there is no such job" } };
  }
}

function check({ requestId, holdMs = 0, perSecond, command }: StartBulkRequest): void {
  if (requestId.length < 1 || requestId.length > most.requestId)
    throw new Refused("invalid", `request_id has ${requestId.length} characters, not 1 to ${most.requestId}.`);
  if (holdMs > most.holdMs) throw new Refused("invalid", `hold_ms is ${holdMs}, at most ${most.holdMs} are allowed.`);
  if (perSecond > most.perSecond)
    throw new Refused("invalid", `per_second is ${perSecond}, at most ${most.perSecond} are allowed.`);
  const bytes = command ? toBinary(BulkCommandSchema, command).length : 0;
  if (bytes > most.commandBytes)
    throw new Refused("invalid", `The command has ${bytes} bytes, at most ${most.commandBytes} are allowed.`);
}

function noSuchBulk(id: string): Refused {
  return new Refused(
    "not-found",
    `There are no commands to many ${id.slice(0, 100)}. They are known while they run and for a day after.`,
  );
}

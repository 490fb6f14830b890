import { fromBinary } from "@bufbuild/protobuf";
import { AuditEntrySchema, JobEntrySchema, type AuditFilter, type JobRecord } from "@signalbox/protocol";
import { digestOf } from "../digest.ts";
import { jobTopic, jobTopicPrefix, type Job, type StoredEntry } from "../jobs/job.ts";
import { hasEnded } from "../jobs/job-record.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Logger } from "../logger.ts";
import type { Journal, JournalEntry, Position } from "../store/store.ts";
import { auditTopic, type AuditLog, type StoredAuditEntry } from "./audit-log.ts";
import { compare, matcher, placeOf } from "./filter.ts";
import { auditRow, follow, isSettled, jobRow, JobRows, type Row } from "./row.ts";
import { RowList } from "./row-list.ts";

/** Rows that are kept in memory, some 400 bytes each. */
const mostRows = 100_000;
/** Decoding a run must not hold up the event loop. */
const readAhead = { maxEntries: 100 };

/**
 * Who did what: one list of rows, folded from the topics of all jobs and from `audit`. It is made when it is first asked for, in the
 * background, and kept up to date from then on; of a large store it holds the newest rows.
 */
export class AuditView {
  readonly #journal: Journal;
  readonly #jobs: Jobs;
  readonly #log: AuditLog;
  readonly #logger: Logger;
  readonly #most: number;
  readonly #list: RowList;
  /** Commands that something more can become of, by job and generation. */
  readonly #open = new Map<string, Map<bigint, Row>>();
  /** While the history is read: the first entry of each topic that was heard of as it came. */
  readonly #heardFrom = new Map<string, Position>();
  readonly #closed = new AbortController();
  #reading: Promise<void> | undefined;
  #isListening = false;

  constructor(journal: Journal, jobs: Jobs, log: AuditLog, logger: Logger, most = mostRows) {
    this.#journal = journal;
    this.#jobs = jobs;
    this.#log = log;
    this.#logger = logger;
    this.#most = most;
    this.#list = new RowList(most);
  }

  /** When the view begins if older rows are left out; else 0. */
  get beginsAt(): number {
    return this.#list.beginsAt;
  }

  /** Resolves when the history is read; begins with that at the first call. Rejects if it cannot be read; the next call tries again. */
  ready(): Promise<void> {
    this.#reading ??= this.#read().catch((error: unknown) => {
      this.#reading = undefined;
      throw error;
    });
    return this.#reading;
  }

  /** Rows that fit, newest first, in runs, from a page token on. Of one job they are all there are. Throws Refused. */
  async *select(filter: AuditFilter | undefined, token: string): AsyncGenerator<Row[]> {
    const fits = matcher(filter);
    const before = placeOf(token);
    await this.ready();
    if (!filter?.jobId || this.#list.beginsAt === 0) yield* this.#list.select(fits, before);
    else yield* (await this.#ofJob(filter.jobId)).select(fits, before);
  }

  /** Rows that come or change from now on and fit, in runs; undefined where some were left out. Ends when `signal` aborts. */
  async *follow(filter: AuditFilter | undefined, signal: AbortSignal): AsyncGenerator<Row[] | undefined> {
    const fits = matcher(filter);
    // What comes while the history is read is heard of too.
    this.ready().catch(() => undefined); // Who lists hears it; what happens from now on is told nevertheless.
    for await (const run of this.#list.follow(AbortSignal.any([signal, this.#closed.signal]))) yield run?.filter(fits);
  }

  /** Ends all that follow, and reading. */
  close(): void {
    this.#closed.abort();
  }

  async #read(): Promise<void> {
    if (!this.#isListening) this.#listen();
    this.#isListening = true;
    const began = performance.now();
    let rows: Row[] = [];
    let isCut = false;
    const keep = (row: Row) => {
      rows.push(row);
      if (rows.length < 2 * this.#most) return;
      rows = rows.sort(compare).slice(-this.#most);
      isCut = true;
    };
    for await (const entry of this.#entries(auditTopic)) {
      const row = this.#auditRow({
        ...entry,
        entry: fromBinary(AuditEntrySchema, entry.data),
        digest: digestOf(entry.data),
      });
      if (row) keep(row);
    }
    for (const { topic } of await this.#journal.topics(jobTopicPrefix)) {
      const id = topic.slice(jobTopicPrefix.length);
      const history = new JobRows(id);
      for await (const entry of this.#entries(topic)) keep(history.add(entry));
      const record = this.#jobs.find(id)?.record;
      if (record && hasEnded(record)) continue;
      for (const row of history.open) if (!this.#isHeard(row)) this.#remember(row);
      // What has become of them since they were read.
      if (record) this.#decide(record);
    }
    this.#closed.signal.throwIfAborted();
    this.#list.fill(
      rows.filter((row) => !this.#isHeard(row)),
      isCut,
    );
    this.#heardFrom.clear();
    const ms = Math.round(performance.now() - began);
    this.#logger.info({ rows: this.#list.size, ms }, "the audit view is there");
  }

  /** The rows of one job, from its own history. */
  async #ofJob(id: string): Promise<RowList> {
    const list = new RowList(this.#most);
    const history = new JobRows(id);
    const rows: Row[] = [];
    for await (const entry of this.#entries(jobTopic(id))) rows.push(history.add(entry));
    for await (const run of this.#list.select((row) => row.topic === auditTopic && row.jobId === id)) rows.push(...run);
    list.fill(rows);
    return list;
  }

  async *#entries(topic: string): AsyncGenerator<JournalEntry> {
    for (let from: Position = 0; ;) {
      const run = await this.#journal.read(topic, from, readAhead);
      this.#closed.signal.throwIfAborted();
      yield* run;
      const newest = run.at(-1);
      if (!newest) return;
      from = newest.position;
    }
  }

  #listen(): void {
    const ends = [
      this.#jobs.onEntry((job, before, stored) => this.#hear(job, before, stored)),
      this.#log.onEntry((stored) => {
        const row = this.#auditRow(stored);
        if (row) this.#add(row);
      }),
    ];
    this.#closed.signal.addEventListener("abort", () => ends.forEach((end) => end()), { once: true });
  }

  #hear(job: Job, before: JobRecord | undefined, stored: StoredEntry | undefined): void {
    if (stored) {
      const row = jobRow(job.id, stored, before);
      this.#add(row);
      if (row.generation > 0n && !isSettled(row.outcome)) this.#remember(row);
    } else void this.#find(job);
    this.#decide(job.record);
  }

  /** An entry that was found as it is stored already: the first one of a job. */
  async #find({ id }: Job): Promise<void> {
    try {
      const last = await this.#journal.last(jobTopic(id));
      if (!last) return;
      const stored = {
        entry: fromBinary(JobEntrySchema, last.data),
        position: last.position,
        digest: digestOf(last.data),
      };
      this.#add(jobRow(id, stored, undefined));
    } catch (error) {
      if (!this.#closed.signal.aborted)
        this.#logger.error({ err: error, job: id }, "an entry is missing in the audit view");
    }
  }

  #add(row: Row): void {
    if (!this.#heardFrom.has(row.topic)) this.#heardFrom.set(row.topic, row.position);
    this.#list.add(row);
  }

  /** Whether the row is in the list already, because it was heard of as it came. */
  #isHeard({ topic, position }: Row): boolean {
    return position >= (this.#heardFrom.get(topic) ?? Infinity);
  }

  #remember(row: Row): void {
    const rows = this.#open.get(row.jobId) ?? new Map<bigint, Row>();
    this.#open.set(row.jobId, rows.set(row.generation, row));
  }

  /** Commands go on as the receipts of the job's newest record say. */
  #decide(record: JobRecord): void {
    const rows = this.#open.get(record.id);
    if (!rows) return;
    for (const receipt of record.receipts) {
      const row = rows.get(receipt.generation);
      if (row && follow(row, receipt)) this.#list.changed(row);
      if (row && isSettled(row.outcome)) rows.delete(receipt.generation);
    }
    if (rows.size === 0 || hasEnded(record)) this.#open.delete(record.id);
  }

  #auditRow(stored: StoredAuditEntry): Row | undefined {
    return auditRow(stored, (id) => this.#jobs.find(id)?.record.name);
  }
}

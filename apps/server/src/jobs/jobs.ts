import { createHash } from "node:crypto";
import { create, fromBinary } from "@bufbuild/protobuf";
import {
  JobRecordSchema,
  JobStartedSchema,
  LeverValueSchema,
  RunMode,
  StartJobRequestSchema,
  type Actor,
  type JobRecord,
  type JobType,
  type LeverValue,
  type StartJobRequest,
} from "@signalbox/protocol";
import type { Logger } from "../logger.ts";
import { systemClock, type Clock } from "../clock.ts";
import { digestOfRequest } from "../digest.ts";
import { Refused } from "../refused.ts";
import { Conflict, StoreClosed, UnknownOutcome, type Store, type Table } from "../store/store.ts";
import {
  encodeRecord,
  Job,
  jobTopic,
  jobTopicPrefix,
  readRecord,
  type AfterEntry,
  type Decision,
  type JobParts,
  type StoredEntry,
} from "./job.ts";
import { newRecord } from "./job-fold.ts";
import { hasEnded, openAttempt } from "./job-record.ts";
import { checkLeverOfType, checkLeverValue, checkSystemStop, leverOf, plainLeverValue } from "./levers.ts";
import { checkSelector, checkWorker } from "./only-worker.ts";
import { checkParameters } from "./parameters.ts";
import { jobPolicies } from "./policies.ts";
import { VitalsBoard } from "./vitals-board.ts";

/** Name of the table that caches the newest record of each job. */
export const jobsTable = "jobs";

const idLength = 10;
const longest = { requestId: 100, name: 200, labels: 32, labelKey: 63, labelValue: 200 };

/** All jobs of the store. */
export class Jobs {
  readonly vitals = new VitalsBoard();
  readonly #parts: JobParts;
  readonly #table: Table;
  readonly #logger: Logger;
  readonly #jobs = new Map<string, Job>();
  /** Jobs whose first entry is being stored. */
  readonly #starting = new Map<string, Promise<Job>>();
  /** Jobs that have not ended: what timers, dispatch and leases look at. */
  readonly #live = new Set<Job>();
  /** Jobs with an open attempt, by the worker that has it. */
  readonly #ofWorker = new Map<string, Set<Job>>();
  readonly #workerOf = new Map<Job, string>();
  readonly #listeners = new Set<AfterEntry>();
  #revision = 0;
  /** Jobs whose cached record is being written; true: it changed again meanwhile. */
  readonly #caching = new Map<Job, boolean>();

  private constructor(store: Store, logger: Logger, clock: Clock) {
    this.#table = store.table(jobsTable);
    this.#logger = logger;
    this.#parts = {
      journal: store.journal,
      clock,
      vitalsOf: (jobId) => this.vitals.get(jobId),
      afterEntry: (job, before, stored) => this.#afterEntry(job, before, stored),
    };
  }

  /** Reads all jobs: the cached records, and the last entry of each topic that has gone on since its record was cached. */
  static async open(store: Store, logger: Logger, clock: Clock = systemClock): Promise<Jobs> {
    const jobs = new Jobs(store, logger, clock);
    const cached = new Map<string, JobRecord>();
    const list = await jobs.#table.list();
    jobs.#revision = list.revision;
    for (const { key, data } of list.records) if (data) cached.set(key, fromBinary(JobRecordSchema, data));
    let repaired = 0;
    for (const { topic, last } of await store.journal.topics(jobTopicPrefix)) {
      const id = topic.slice(jobTopicPrefix.length);
      let record = cached.get(id);
      if (!record || Number(record.entryPosition) !== last) {
        const newest = await store.journal.last(topic);
        if (!newest) continue;
        record = readRecord(newest);
        jobs.#revision = await jobs.#table.put(id, encodeRecord(record));
        repaired++;
      }
      jobs.#add(Job.known(jobs.#parts, record));
    }
    if (repaired > 0) logger.info({ jobs: repaired }, "cached records were behind their topics and were put again");
    return jobs;
  }

  /** The job, if there is one. */
  find(jobId: string): Job | undefined {
    return this.#jobs.get(jobId);
  }

  /** The job. Throws Refused if there is none. */
  get(jobId: string): Job {
    const job = this.find(jobId);
    if (!job) throw new Refused("not-found", `There is no job ${jobId.slice(0, 100)}.`);
    return job;
  }

  /** All jobs, in no order. */
  all(): Iterable<Job> {
    return this.#jobs.values();
  }

  /** The newest revision of the table that caches the records. */
  get revision(): number {
    return this.#revision;
  }

  /** How many jobs there are. */
  get size(): number {
    return this.#jobs.size;
  }

  /** Jobs that have not ended. */
  live(): Iterable<Job> {
    return this.#live;
  }

  /** Jobs whose open attempt belongs to this worker, whichever process. */
  attemptsOf(workerId: string): Job[] {
    return [...(this.#ofWorker.get(workerId) ?? [])];
  }

  /** Calls `listener` after each entry of any job, in the order of each job. Returns what removes it. */
  onEntry(listener: AfterEntry): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Starts a job of a known type and returns its record. The same request by the same actor returns the job that it started before.
   * `knowsWorker` says whether a job may wait for a worker of that name. Throws Refused.
   */
  async start(
    request: StartJobRequest,
    type: JobType | undefined,
    actor: Actor,
    knowsWorker: (workerId: string) => boolean = () => true,
  ): Promise<JobRecord> {
    checkStart(request);
    const id = jobIdOf(actor, request.requestId);
    const startDigest = digestOfRequest(StartJobRequestSchema, request);
    // The same request at the same time: the other one is first. Its error is its caller's; here only its end counts.
    for (let other = this.#starting.get(id); other; other = this.#starting.get(id)) await other.catch(() => undefined);
    const existing = this.#jobs.get(id);
    if (existing) return sameStart(existing.record, startDigest, request.requestId);
    if (!type) {
      throw new Refused(
        "invalid",
        `No known worker offers the job type '${request.type.slice(0, 60)}'. Start a worker that offers it, or choose another type.`,
      );
    }
    checkWorker(request, type, knowsWorker);
    checkSelector(request.workerSelector);
    const levers = startLevers(request, type);
    const record = newRecord(
      {
        id,
        name: request.name || request.type,
        type: request.type,
        labels: request.labels,
        levers,
        workerId: request.workerId,
        workerSelector: request.workerSelector,
        ...jobPolicies(request, type),
        actor,
        startDigest,
      },
      this.#parts.clock(),
    );
    const starting = this.#begin({
      actor,
      requestId: request.requestId,
      cause: { case: "started", value: create(JobStartedSchema) },
      record,
    }).finally(() => this.#starting.delete(id));
    this.#starting.set(id, starting);
    return sameStart((await starting).record, startDigest, request.requestId);
  }

  /** Stores a job's first entry; takes the job as it is stored if the entry is there already. */
  async #begin(first: Decision): Promise<Job> {
    try {
      return await Job.start(this.#parts, first);
    } catch (error) {
      if (!(error instanceof Conflict || error instanceof UnknownOutcome)) throw error;
      // It may have landed all the same, now or the time before.
      const stored = await this.#parts.journal.last(jobTopic(first.record.id));
      if (!stored) throw error;
      const job = Job.known(this.#parts, readRecord(stored));
      this.#afterEntry(job, undefined);
      return job;
    }
  }

  #add(job: Job): void {
    this.#jobs.set(job.id, job);
    if (hasEnded(job.record)) return;
    this.#live.add(job);
    this.#indexWorker(job);
    if (job.record.vitals) this.vitals.restore(job.record.vitals);
  }

  #indexWorker(job: Job): void {
    const before = this.#workerOf.get(job);
    const now = openAttempt(job.record)?.workerId;
    if (before === now) return;
    if (before !== undefined) {
      const others = this.#ofWorker.get(before);
      others?.delete(job);
      if (others?.size === 0) this.#ofWorker.delete(before);
      this.#workerOf.delete(job);
    }
    if (now === undefined) return;
    this.#workerOf.set(job, now);
    const jobs = this.#ofWorker.get(now);
    if (jobs) jobs.add(job);
    else this.#ofWorker.set(now, new Set([job]));
  }

  #afterEntry(job: Job, before: JobRecord | undefined, stored?: StoredEntry): void {
    if (!this.#jobs.has(job.id)) this.#jobs.set(job.id, job);
    this.#indexWorker(job);
    if (hasEnded(job.record)) {
      this.#live.delete(job);
      this.vitals.retire(job.id);
    } else {
      this.#live.add(job);
      const attempt = openAttempt(job.record);
      if (attempt && attempt.number !== (before && openAttempt(before)?.number))
        this.vitals.begin(job.id, attempt.number);
    }
    void this.#cache(job);
    for (const listener of this.#listeners) listener(job, before, stored);
  }

  /** Writes the newest record to the table; one write of a job at a time. A failed write is made good at the next start. */
  async #cache(job: Job): Promise<void> {
    if (this.#caching.has(job)) {
      this.#caching.set(job, true);
      return;
    }
    this.#caching.set(job, true);
    try {
      while (this.#caching.get(job)) {
        this.#caching.set(job, false);
        const revision = await this.#table.put(job.id, job.encodedRecord);
        if (revision > this.#revision) this.#revision = revision;
      }
    } catch (error) {
      if (!(error instanceof StoreClosed))
        this.#logger.error({ err: error, job: job.id }, "the job's record could not be cached");
    } finally {
      this.#caching.delete(job);
    }
  }
}

/** The id of the job that this request of this actor starts. */
export function jobIdOf(actor: Actor, requestId: string): string {
  const hash = createHash("sha256").update(`${actor.kind}\n${actor.name}\n${requestId}`).digest();
  return `j-${hash.readBigUInt64BE().toString(36).padStart(13, "0").slice(-idLength)}`;
}

function sameStart(record: JobRecord, startDigest: Uint8Array, requestId: string): JobRecord {
  if (Buffer.compare(record.startDigest, startDigest) === 0) return record;
  throw new Refused("exists", `Request id ${requestId} started job ${record.id} with another body. Use a new id.`);
}

function checkStart(request: StartJobRequest): void {
  if (request.requestId.length < 1 || request.requestId.length > longest.requestId) {
    throw new Refused(
      "invalid",
      `request_id has ${request.requestId.length} characters, not 1 to ${longest.requestId}.`,
    );
  }
  if (request.name.length > longest.name)
    throw new Refused(
      "invalid",
      `The name has ${request.name.length} characters, at most ${longest.name} are allowed.`,
    );
  const labels = Object.entries(request.labels);
  if (labels.length > longest.labels)
    throw new Refused("invalid", `There are ${labels.length} labels, at most ${longest.labels} are allowed.`);
  for (const [key, value] of labels) {
    if (key.length < 1 || key.length > longest.labelKey || value.length > longest.labelValue) {
      throw new Refused(
        "invalid",
        `Label '${key.slice(0, 63)}': a key has 1 to ${longest.labelKey} characters, a value at most ${longest.labelValue}.`,
      );
    }
  }
}

/** The levers that a job starts with: what was asked for, and what its type has by default. */
function startLevers(request: StartJobRequest, type: JobType): LeverValue[] {
  const levers = new Map<string, LeverValue>();
  const set = (value: LeverValue) => levers.set(leverOf(value), value);
  set(create(LeverValueSchema, { value: { case: "run", value: { mode: RunMode.RUN } } }));
  set(
    create(LeverValueSchema, {
      value: { case: "parameters", value: { parameters: checkParameters(type, request.parameters ?? {}) } },
    }),
  );
  if (type.defaultItemsPerSecond !== undefined) {
    set(create(LeverValueSchema, { value: { case: "speed", value: { itemsPerSecond: type.defaultItemsPerSecond } } }));
  }
  for (const given of request.levers) {
    const value = plainLeverValue(given);
    const lever = leverOf(value);
    checkLeverValue(value);
    if (lever === "parameters") throw new Refused("invalid", "Give the parameters in `parameters`, not as a lever.");
    if (value.value.case === "run" && value.value.value.mode === RunMode.CANCEL)
      throw new Refused("invalid", "A job cannot be started canceled.");
    checkLeverOfType(type, lever, "invalid");
    checkSystemStop(type, value, "invalid");
    set(value);
  }
  return [...levers.values()];
}

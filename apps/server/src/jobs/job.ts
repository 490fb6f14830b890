import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  JobEntrySchema,
  JobRecordSchema,
  rawFieldHead,
  VitalsSchema,
  type Actor,
  type Command,
  type JobEntry,
  type JobRecord,
  type Vitals,
} from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import { digestOf } from "../digest.ts";
import { Refused } from "../refused.ts";
import {
  Conflict,
  UnknownOutcome,
  type Journal,
  type JournalEntry,
  type Position,
  type TopicWriter,
} from "../store/store.ts";
import { foldCommand } from "./fold-command.ts";
import { openAttempt } from "./job-record.ts";
import { commandBody, RequestIds } from "./request-ids.ts";

/** What a decision adds to a job's history. */
export interface Decision {
  readonly actor: Actor;
  readonly requestId?: string;
  /** What stands for the request. */
  readonly body?: string;
  readonly cause: JobEntry["cause"];
  /** The record after it. */
  readonly record: JobRecord;
  /** It takes a command back because its worker cannot have it: until it is stored nothing is sent to that. */
  readonly takesBack?: boolean;
}

/** An entry as it is stored. */
export interface StoredEntry {
  readonly entry: JobEntry;
  readonly position: Position;
  /** SHA-256 of its bytes. */
  readonly digest: Uint8Array;
}

/**
 * Called after an entry is durable, in order, once for each entry of this job. `stored` is that entry; it is undefined where the job was
 * found as somebody else had stored it.
 */
export type AfterEntry = (job: Job, before: JobRecord | undefined, stored?: StoredEntry) => void;

/** The topic of a job's entries. */
export function jobTopic(jobId: string): string {
  return `job/${jobId}`;
}

/** The topics of all jobs start with this. */
export const jobTopicPrefix = "job/";

/** Numbers of fields of `JobEntry`. */
const entryFields = { record: 20, vitals: 21 };
/** Number of `JobRecord.vitals`. */
const vitalsOfRecord = 18;
const tries = 5;
/** Decoding a run must not hold up the event loop. */
const readAhead = { maxEntries: 100 };

/**
 * One job: its newest record, and the only way to change it. A change is one entry of the job's topic, conditional on the entry
 * before; changes of a job happen one after the other.
 */
export class Job {
  readonly id: string;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #vitalsOf: (jobId: string) => Vitals | undefined;
  readonly #afterEntry: AfterEntry;
  #record: JobRecord;
  /** The record as it travels; made when it is first needed. */
  #encoded: Uint8Array | undefined;
  /** Of the newest entry; undefined until it was read or written here. */
  #digest: Uint8Array | undefined;
  #writer: TopicWriter | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** Read from the history when first needed. */
  #requests: RequestIds | undefined;
  /** How far the process of an attempt was sent what is wanted of it. */
  #sent = { attempt: 0, generation: 0n };
  #takingBack: PromiseWithResolvers<void> | undefined;

  private constructor(parts: JobParts, record: JobRecord) {
    this.id = record.id;
    this.#journal = parts.journal;
    this.#clock = parts.clock;
    this.#vitalsOf = parts.vitalsOf;
    this.#afterEntry = parts.afterEntry;
    this.#record = record;
    // Nobody knows how far the server before this one came.
    this.noteSent();
  }

  /** A job that is stored already. `record.entryPosition` is set. */
  static known(parts: JobParts, record: JobRecord): Job {
    return new Job(parts, record);
  }

  /**
   * Stores a job's first entry. Throws Conflict if the job exists: then read it with {@link readRecord}.
   */
  static async start(parts: JobParts, decision: Decision): Promise<Job> {
    const writer = await parts.journal.open(jobTopic(decision.record.id), 0);
    const job = new Job(parts, decision.record);
    job.#writer = writer;
    job.#requests = new RequestIds();
    await job.#append(writer, decision);
    return job;
  }

  /** The newest durable state. Never change it. `entryPosition` says which entry it is the state after. */
  get record(): JobRecord {
    return this.#record;
  }

  /** The newest generation that the process of the open attempt may have; 0: none. */
  get mayHave(): bigint {
    return openAttempt(this.#record)?.number === this.#sent.attempt ? this.#sent.generation : 0n;
  }

  /** Resolves when what is wanted of the open attempt may be sent again; undefined: it may be sent now. */
  get takingBack(): Promise<void> | undefined {
    return this.#takingBack?.promise;
  }

  /** What is wanted of the open attempt is sent to its process now. */
  noteSent(): void {
    const attempt = openAttempt(this.#record)?.number;
    if (attempt !== undefined) this.#sent = { attempt, generation: this.#record.spec?.generation ?? 0n };
  }

  /** The record in the form in which it travels and is cached: with its position and vitals. Never change it. */
  get encodedRecord(): Uint8Array {
    return (this.#encoded ??= encodeRecord(this.#record));
  }

  /** SHA-256 of the newest entry, the one at `record.entryPosition`; undefined if nothing was read or written since the job was opened. */
  get digest(): Uint8Array | undefined {
    return this.#digest;
  }

  /**
   * Decides on the newest record and stores the decision. `decide` returns undefined to change nothing, and may throw Refused. It is
   * called again if somebody else wrote first. Resolves with the newest record when that is durable.
   */
  update(decide: (record: JobRecord, now: number) => Decision | undefined): Promise<JobRecord> {
    return this.#inTurn(async () => {
      try {
        return await this.#decide(decide);
      } finally {
        this.#takingBack?.resolve();
        this.#takingBack = undefined;
      }
    });
  }

  async #decide(decide: (record: JobRecord, now: number) => Decision | undefined): Promise<JobRecord> {
    for (let attempt = 1; ; attempt++) {
      const writer = (this.#writer ??= await this.#open());
      const decision = decide(this.#record, this.#clock());
      if (!decision) return this.#record;
      if (decision.takesBack) this.#takingBack ??= Promise.withResolvers();
      try {
        await this.#append(writer, decision);
        return this.#record;
      } catch (error) {
        this.#writer = undefined;
        if (!(error instanceof Conflict || error instanceof UnknownOutcome) || attempt >= tries) throw error;
        // The entry may have landed all the same: the next decision is made on what is really stored.
      }
    }
  }

  /**
   * Stores a command, once for each request id. Returns the record after it and the command's generation. Throws Refused; a repeated
   * id with another body is refused as 'exists'. `check` may refuse what is otherwise in order; a repeated id is not checked again.
   */
  async command(
    command: Command,
    actor: Actor,
    requestId: string,
    check: (before: JobRecord) => void = () => undefined,
  ): Promise<{ record: JobRecord; generation: bigint }> {
    const record = await this.once(requestId, actor, commandBody(command), (before, now) => {
      const { record, generation } = foldCommand(before, command, actor, requestId, now, this.mayHave);
      check(before);
      return {
        cause: { case: "command", value: { ...command, generation } },
        record,
        takesBack: command.action.case === "withdrawGeneration",
      };
    });
    const known = this.#requests?.get(actor, requestId);
    return { record, generation: known?.generation ?? 0n };
  }

  /**
   * Like {@link update}, once for each request id of an actor: the same id changes nothing the second time. With another `body` it is
   * refused as 'exists'.
   */
  async once(
    requestId: string,
    actor: Actor,
    body: string,
    decide: (record: JobRecord, now: number) => Omit<Decision, "actor" | "requestId" | "body">,
  ): Promise<JobRecord> {
    await this.#inTurn(async () => (this.#requests ??= await this.#readRequests()));
    return this.update((before, now) => {
      const known = this.#requests?.get(actor, requestId);
      if (!known) return { actor, requestId, body, ...decide(before, now) };
      if (known.body !== body)
        throw new Refused("exists", `Request id ${requestId} was used for something else on this job. Use a new id.`);
      return undefined;
    });
  }

  /** The request ids of the job's history. */
  async #readRequests(): Promise<RequestIds> {
    const requests = new RequestIds();
    let position: Position = 0;
    for (;;) {
      const entries = await this.#journal.read(jobTopic(this.id), position, readAhead);
      const newest = entries.at(-1);
      if (!newest) return requests;
      for (const { data } of entries) requests.learn(fromBinary(JobEntrySchema, data));
      position = newest.position;
    }
  }

  async #open(): Promise<TopicWriter> {
    const writer = await this.#journal.open(jobTopic(this.id));
    const { opened } = writer;
    if (!opened) return writer;
    const digest = digestOf(opened.data);
    if (BigInt(opened.position) === this.#record.entryPosition) {
      this.#digest = digest;
      return writer;
    }
    const entry = fromBinary(JobEntrySchema, opened.data);
    const record = recordOf(entry, opened.position);
    const requests = this.#requests && (await this.#readRequests());
    const before = this.#record;
    this.#record = record;
    this.#encoded = undefined;
    this.#requests = requests;
    this.#digest = digest;
    this.#afterEntry(this, before, { entry, position: opened.position, digest });
    return writer;
  }

  async #append(writer: TopicWriter, decision: Decision): Promise<void> {
    const record = decision.record;
    // Of a job that ended long ago the board knows nothing any more; its record does.
    const vitals = this.#vitalsOf(this.id) ?? this.#record.vitals;
    record.entryPosition = 0n;
    delete record.vitals;
    const entry = create(JobEntrySchema, {
      atUs: BigInt(this.#clock()),
      actor: decision.actor,
      requestId: decision.requestId ?? "",
      cause: decision.cause,
      ...(this.#digest ? { previousDigest: this.#digest } : {}),
    });
    // Encoded once: for the entry, for the table that caches it, for all who watch, and for the answer to who asked for it.
    const encoded = toBinary(JobRecordSchema, record);
    const encodedVitals = vitals ? toBinary(VitalsSchema, vitals) : undefined;
    const bytes = Buffer.concat([
      toBinary(JobEntrySchema, entry),
      ...field(entryFields.record, encoded),
      ...field(entryFields.vitals, encodedVitals),
    ]);
    entry.record = record;
    if (vitals) entry.vitals = vitals;
    const digest = digestOf(bytes);
    const position = await writer.append(bytes, 0);
    const before = record === this.#record ? undefined : this.#record;
    record.entryPosition = BigInt(position);
    if (vitals) record.vitals = vitals;
    this.#record = record;
    // What follows in an encoded message adds to what it says.
    const more = toBinary(JobRecordSchema, create(JobRecordSchema, { entryPosition: record.entryPosition }));
    this.#encoded = Buffer.concat([encoded, more, ...field(vitalsOfRecord, encodedVitals)]);
    this.#digest = digest;
    this.#requests?.learn(entry, decision.body);
    this.#afterEntry(this, before, { entry, position, digest });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => undefined); // The caller gets the error from `turn`; the next one only waits for its turn.
    return turn;
  }
}

/** An encoded message as a field of another one, in pieces; none if there is none. */
function field(number: number, encoded: Uint8Array | undefined): Uint8Array[] {
  return encoded ? [rawFieldHead(number, encoded), encoded] : [];
}

/** What a job stands on. */
export interface JobParts {
  readonly journal: Journal;
  readonly clock: Clock;
  /** The vitals of this moment, stored with each entry. */
  readonly vitalsOf: (jobId: string) => Vitals | undefined;
  readonly afterEntry: AfterEntry;
}

/** The record in a job's stored entry, with its position. */
export function readRecord(stored: JournalEntry): JobRecord {
  return recordOf(fromBinary(JobEntrySchema, stored.data), stored.position);
}

function recordOf({ record, vitals }: JobEntry, position: Position): JobRecord {
  if (!record) throw new Error(`the entry at ${position} holds no record`);
  record.entryPosition = BigInt(position);
  if (vitals) record.vitals = vitals;
  return record;
}

/** A record in the form in which it travels and is cached: with its position and vitals. */
export function encodeRecord(record: JobRecord): Uint8Array {
  return toBinary(JobRecordSchema, record);
}

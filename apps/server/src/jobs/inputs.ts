import { create, toBinary } from "@bufbuild/protobuf";
import { InputEntrySchema, type Actor, type SendInputRequest } from "@signalbox/protocol";
import { systemClock, type Clock } from "../clock.ts";
import type { Logger } from "../logger.ts";
import { Refused } from "../refused.ts";
import { StoreClosed, type Journal } from "../store/store.ts";
import { InputDelivery } from "./input-delivery.ts";
import {
  InputDoor,
  inputTopic,
  inputTopicPrefix,
  largestPieceBytes,
  readInputEnd,
  type InputEnd,
} from "./input-door.ts";
import type { Job } from "./job.ts";
import { openAttempt } from "./job-record.ts";
import type { Jobs } from "./jobs.ts";

/** How long a sender waits for a job that takes nothing, milliseconds. */
const defaultRoomWithinMs = 10_000;

interface Parts {
  readonly journal: Journal;
  readonly jobs: Jobs;
  readonly logger: Logger;
  readonly clock?: Clock;
  readonly roomWithinMs?: number;
}

/** How far an attempt's input goes. */
export interface InputStanding extends InputEnd {
  readonly attempt: number;
  /** All bytes below are with the job. */
  readonly taken: number;
}

/** What people and programs send into running jobs. An attempt's input is kept as long as the attempt is open. */
export class Inputs {
  readonly #journal: Journal;
  readonly #jobs: Jobs;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #roomWithinMs: number;
  /** Inputs of open attempts, by topic. */
  readonly #doors = new Map<string, InputDoor>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #listeners = new Set<(jobId: string) => void>();

  private constructor({ journal, jobs, logger, clock = systemClock, roomWithinMs = defaultRoomWithinMs }: Parts) {
    this.#journal = journal;
    this.#jobs = jobs;
    this.#logger = logger;
    this.#clock = clock;
    this.#roomWithinMs = roomWithinMs;
  }

  /** Reads where the inputs of open attempts end. Those of attempts that ended while nobody looked are forgotten. */
  static async open(parts: Parts): Promise<Inputs> {
    const inputs = new Inputs(parts);
    const open = new Map<string, Job>();
    for (const job of parts.jobs.live()) {
      const attempt = openAttempt(job.record);
      if (attempt) open.set(inputTopic(job.id, attempt.number), job);
    }
    for (const { topic, sealed } of await parts.journal.topics(inputTopicPrefix)) {
      const job = open.get(topic);
      if (job) await inputs.#restore(job, topic);
      else if (!sealed) await inputs.#forget(topic);
    }
    parts.jobs.onEntry((job, before) => {
      const was = before && openAttempt(before)?.number;
      if (was !== undefined && was !== openAttempt(job.record)?.number) inputs.#close(inputTopic(job.id, was));
    });
    return inputs;
  }

  /**
   * Stores a piece of input and resolves when it is durable, with the attempt that has it and the end of its input. `takesInput` says
   * whether jobs of the type do. Throws Refused, what `signal` aborts with, and UnknownOutcome.
   */
  async send(
    job: Job,
    takesInput: boolean,
    request: SendInputRequest,
    actor: Actor,
    signal: AbortSignal,
  ): Promise<{ attempt: number; end: number }> {
    const { data, eof } = request;
    if (data.length > largestPieceBytes)
      throw new Refused(
        "invalid",
        `The input has ${data.length} bytes, at most ${largestPieceBytes} go into one request.`,
      );
    const attempt = runningAttempt(job, request.attempt);
    if (!takesInput) throw new Refused("wrong-state", `Jobs of type ${job.record.type} take no input.`);
    const door = this.#doorOf(job, attempt);
    if (data.length === 0 && !eof) return { attempt, end: door.stored.end };
    const offset = request.offset === undefined ? undefined : Number(request.offset);
    return { attempt, end: await door.send({ offset, data, eof }, actor, signal) };
  }

  /** How far the input of a job's open attempt goes; undefined if nobody has sent or taken any in this server's life, and none is stored. */
  stateOf(job: Job): InputStanding | undefined {
    const attempt = openAttempt(job.record)?.number;
    const door = attempt === undefined ? undefined : this.#doors.get(inputTopic(job.id, attempt));
    return door && { attempt: door.attempt, ...door.stored, taken: door.taken };
  }

  /** Calls `listener` with a job's id when its input has changed. Returns what removes it. */
  onChange(listener: (jobId: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Delivers inputs on a stream of this worker process, which is woken when there is something to take. To be closed when the stream ends. */
  deliverTo(session: {
    readonly workerId: string;
    readonly incarnation: string;
    readonly wake: () => void;
  }): InputDelivery {
    const { workerId, incarnation } = session;
    const doorOf = (jobId: string, number: number) => {
      const job = this.#jobs.find(jobId);
      const attempt = job && openAttempt(job.record);
      const isOwn = attempt?.number === number && attempt.workerId === workerId && attempt.incarnation === incarnation;
      return job && isOwn ? this.#doorOf(job, number) : undefined;
    };
    return new InputDelivery(this.#journal, doorOf, () => session.wake());
  }

  /** Resolves when nothing is being stored any more on this object's own account. */
  async settle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  #doorOf(job: Job, attempt: number): InputDoor {
    return this.#doors.get(inputTopic(job.id, attempt)) ?? this.#add(job.id, attempt);
  }

  #add(jobId: string, attempt: number, ...known: [end?: InputDoor["stored"], taken?: number]): InputDoor {
    const parts = { journal: this.#journal, clock: this.#clock, roomWithinMs: this.#roomWithinMs };
    const door = new InputDoor(parts, jobId, attempt, ...known);
    this.#doors.set(door.topic, door);
    door.onChange(() => {
      this.#show(door);
      for (const listener of this.#listeners) listener(door.jobId);
    });
    return door;
  }

  async #restore(job: Job, topic: string): Promise<void> {
    const attempt = openAttempt(job.record)?.number;
    const last = await this.#journal.last(topic);
    if (attempt === undefined || !last) return;
    const vitals = this.#jobs.vitals.peek(job.id);
    const taken = vitals?.attempt === attempt ? Number(vitals.inputTaken) : 0;
    this.#show(this.#add(job.id, attempt, readInputEnd(last.data), taken));
  }

  /** Puts what is stored and taken into the job's vitals. */
  #show({ jobId, attempt, stored, taken, isOver }: InputDoor): void {
    if (isOver || this.#jobs.vitals.peek(jobId)?.attempt !== attempt) return;
    this.#jobs.vitals.change(jobId, (vitals) => {
      vitals.inputEnd = BigInt(stored.end);
      vitals.inputTaken = BigInt(taken);
      vitals.inputClosed = stored.isClosed;
    });
  }

  #close(topic: string): void {
    const door = this.#doors.get(topic);
    if (!door) return;
    this.#doors.delete(topic);
    const work = door
      .close()
      .then(() => this.#forget(topic))
      .catch((error: unknown) => {
        if (!(error instanceof StoreClosed))
          this.#logger.error({ err: error, topic }, "an ended attempt's input was not removed; the next start does it");
      })
      .finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
  }

  /** Removes what was sent into an attempt that has ended. Sealed last, so that a start finds what is left to remove. */
  async #forget(topic: string): Promise<void> {
    const last = await this.#journal.last(topic);
    if (!last || last.sealed) return;
    await this.#journal.trim(topic, last.position);
    const position = await this.#journal.seal(topic, (newest) => {
      const end = newest?.mark ?? 0;
      const entry = create(InputEntrySchema, { offset: BigInt(end), eof: true, atUs: BigInt(this.#clock()) });
      return { data: toBinary(InputEntrySchema, entry), mark: end };
    });
    await this.#journal.trim(topic, position);
  }
}

/** The number of the attempt that is meant, if it runs. Throws Refused. */
function runningAttempt(job: Job, wanted: number): number {
  const newest = job.record.attempts.at(-1);
  const open = openAttempt(job.record);
  if (newest && (wanted === 0 || wanted <= newest.number) && (!open || (wanted !== 0 && wanted < open.number)))
    throw new Refused(
      "wrong-state",
      `Attempt ${wanted === 0 ? newest.number : wanted} of job ${job.id} is over: nothing can be sent into it.`,
    );
  if (!open || open.startedAtUs === 0n || wanted > open.number)
    throw new Refused("wrong-state", `Job ${job.id} has not begun: nothing can be sent into it yet.`);
  return open.number;
}

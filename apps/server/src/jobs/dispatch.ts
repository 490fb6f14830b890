import { setImmediate } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  AssignmentSchema,
  EndOutcome,
  JobState,
  LimitUseSchema,
  RunMode,
  type Actor,
  type JobRecord,
  type Limit,
  type LimitUse,
} from "@signalbox/protocol";
import type { Logger } from "../logger.ts";
import { pause } from "../pause.ts";
import { Refused } from "../refused.ts";
import type { Job } from "./job.ts";
import type { Jobs } from "./jobs.ts";
import { foldAssign, missingLabel, type ChosenWorker } from "./job-fold.ts";
import { openAttempt } from "./job-record.ts";
import { wantedPriority, wantedRun } from "./levers.ts";
import type { Limits } from "./limits.ts";
import { RunningJobs } from "./running-jobs.ts";
import {
  busyWords,
  declinedWords,
  limitWords,
  longestLine,
  restingWords,
  retryWords,
  type NamedWorker,
} from "./waits-for.ts";

/** A connected worker process. */
export interface Candidate extends ChosenWorker, NamedWorker {
  readonly labels: Record<string, string>;
  readonly jobTypes: ReadonlySet<string>;
}

interface Free {
  readonly worker: Candidate;
  free: number;
}

export const serverActor: Actor = create(ActorSchema, { kind: ActorKind.SERVER, name: "server" });

/** A job in the queue, and what orders it. */
interface Waiting {
  readonly job: Job;
  readonly priority: number;
  readonly queuedAt: number;
}

/** Jobs that may go to the same workers, in one look. */
interface Line {
  /** Workers that may run them and take work. */
  readonly working: readonly Free[];
  /** Why other workers that may run them get none. */
  readonly resting: string;
  inLine: number;
}

/** A limit that is used up, in one look. */
interface FullLimit {
  readonly limit: Limit;
  readonly value: string;
  inLine: number;
}

/** After a worker declined a job, or gave it back twice in such a time, it is not asked again for so long. */
const declineRestMs = 5_000;
/** Others get their turn in the event loop after a look has taken so long. */
const sliceMs = 4;
/** How many jobs are looked at between two looks at the clock. */
const jobsAtOnce = 32;
/** A look that took longer than this is followed by a rest as long as it took. */
const shortLookMs = 5;
const longestRestMs = 100;
/** Where a queue is so long that telling all of it what it waits for is no short look, that is told again after so many times as long. */
const restsBetweenSaying = 4;
const longestUnsaidMs = 500;

/**
 * Gives queued jobs to workers: higher priority first, then the older job, to the worker with most free slots of those that offer its
 * type, have the labels that it asks for, or are the one that it names. Slots in use and jobs under a limit are counted from the jobs'
 * open attempts. A job that cannot go now holds up none behind it, and says in its vitals what it waits for.
 */
export class Dispatch {
  readonly #jobs: Jobs;
  readonly #candidates: () => Iterable<Candidate>;
  readonly #limits: Limits;
  readonly #logger: Logger;
  readonly #running = new RunningJobs();
  readonly #waiting = new Map<Job, Waiting>();
  /** The jobs that wait, in order, and some that do no more; undefined when others came or moved. */
  #order: Waiting[] | undefined;
  /** Jobs whose assignment is being stored. */
  readonly #assigning = new Set<Job>();
  /** When a worker declined a job or gave it back again, oldest first. */
  readonly #declined = new Map<string, number>();
  #rest: NodeJS.Timeout | undefined;
  /** From when on all of the queue is told again what it waits for, `performance.now()`. */
  #saysFrom = 0;
  #saying: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #again = false;
  readonly #stop = new AbortController();

  constructor({ jobs, candidates, limits, logger }: DispatchParts) {
    this.#jobs = jobs;
    this.#candidates = candidates;
    this.#limits = limits;
    this.#logger = logger;
    for (const job of jobs.live()) this.#place(job);
    jobs.onEntry((job, before) => this.#afterEntry(job, before));
    limits.onChange(() => this.wake());
  }

  /** Looks at the queue, now or again after the look that is under way. */
  wake(): void {
    if (this.#stop.signal.aborted) return;
    this.#again = true;
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
  }

  /** Says anew how long jobs wait for their next attempt. `now` is server clock, microseconds. Call it about every second. */
  sayRetries(now: number): void {
    for (const job of this.#waiting.keys())
      if (isResting(job.record))
        this.#say(job, retryWords(job.record, Number(job.record.retryAtUs) / 1000 - now / 1000));
  }

  /** All limits, and how far they are used: types first, then labels, by name. */
  limitUses(): LimitUse[] {
    const uses = new Map(this.#limits.all().map((limit) => [useKey(limit), { limit, waiting: 0 }]));
    for (const { job } of this.#waiting.values()) {
      if (!isReady(job.record)) continue;
      const full = this.#limits.of(job.record).find((limit) => this.#isFull(limit, valueOf(limit, job.record)));
      const use = full && uses.get(useKey(full));
      if (use) use.waiting++;
    }
    return [...uses.values()].map(({ limit, waiting }) =>
      create(LimitUseSchema, { limit, waiting, running: this.#runUnder(limit) }),
    );
  }

  /** Assigns nothing more. Resolves when what was under way is done. */
  async stop(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#rest);
    clearTimeout(this.#saying);
    await this.#looking;
  }

  async #look(): Promise<void> {
    await Promise.resolve();
    while (this.#again && !this.#stop.signal.aborted) {
      this.#again = false;
      const says = performance.now() >= this.#saysFrom;
      const tookMs = await this.#lookOnce(says);
      if (!says) this.#sayLater();
      if (tookMs <= shortLookMs) continue;
      if (says) this.#saysFrom = performance.now() + Math.min(tookMs * restsBetweenSaying, longestUnsaidMs);
      await pause(Math.min(tookMs, longestRestMs), this.#stop.signal);
    }
  }

  /** Looks again when all of the queue is to be told what it waits for. */
  #sayLater(): void {
    this.#saying ??= setTimeout(
      () => {
        this.#saying = undefined;
        this.wake();
      },
      Math.max(0, this.#saysFrom - performance.now()),
    );
  }

  /**
   * Assigns what can go now, and resolves when that is stored. With `says`, or as long as a slot is free, also tells what cannot what it
   * waits for. Returns how long the looking took, milliseconds.
   */
  async #lookOnce(says: boolean): Promise<number> {
    if (this.#waiting.size === 0) return 0;
    const began = performance.now();
    const order = this.#inOrder();
    const workers = [...this.#candidates()].map((worker) => ({
      worker,
      free: worker.slots - this.#running.ofProcess(worker.incarnation),
    }));
    let freeSlots = workers.reduce((sum, { worker, free }) => sum + (worker.takesWork ? Math.max(0, free) : 0), 0);
    this.#forgetDeclined();

    const lines = new Map<string, Line>();
    const full = new Map<string, FullLimit>();
    const assigning: Promise<void>[] = [];
    let sliceBegan = began;
    for (const [index, { job }] of order.entries()) {
      if (index % jobsAtOnce === 0 && performance.now() - sliceBegan > sliceMs) {
        await setImmediate();
        sliceBegan = performance.now();
      }
      if (this.#stop.signal.aborted || (freeSlots === 0 && !says)) break;
      const { record } = job;
      if (!isWaiting(record)) continue;
      if (isResting(record)) continue;
      const key = lineKey(record);
      let line = lines.get(key);
      if (!line) lines.set(key, (line = newLine(workers, record)));
      if (line.working.length === 0) {
        this.#say(job, line.resting);
        continue;
      }
      const limit = this.#fullLimit(record, full);
      if (limit) {
        limit.inLine++;
        this.#say(job, limitWords(limit.limit, limit.value, limit.inLine), limit.inLine);
        continue;
      }
      const fit = this.#mostFree(line, job);
      if (fit) {
        fit.free--;
        freeSlots--;
        assigning.push(this.#assign(job, fit.worker));
        continue;
      }
      const working = line.working.map(({ worker }) => worker);
      if (line.working.some(({ free }) => free > 0)) this.#say(job, declinedWords(job.record, working));
      else this.#say(job, busyWords(record, working, line.resting, ++line.inLine), line.inLine);
    }
    const tookMs = performance.now() - began;
    await Promise.all(assigning);
    return tookMs;
  }

  /** All that wait, and at most as many that did. */
  #inOrder(): readonly Waiting[] {
    if (this.#order && this.#order.length > 2 * this.#waiting.size) this.#order = undefined;
    return (this.#order ??= [...this.#waiting.values()].sort(inOrder));
  }

  #mostFree({ working }: Line, job: Job): Free | undefined {
    let fit: Free | undefined;
    for (const each of working) {
      if (each.free > (fit?.free ?? 0) && each.worker.takesWork && !this.#hasDeclined(each.worker, job)) fit = each;
    }
    return fit;
  }

  /** The first limit that keeps the job from running. What was used up once stays so for the look: nobody behind goes first. */
  #fullLimit(record: JobRecord, full: Map<string, FullLimit>): FullLimit | undefined {
    for (const limit of this.#limits.of(record)) {
      const value = valueOf(limit, record);
      const key = `${useKey(limit)} ${value}`;
      let known = full.get(key);
      if (!known && this.#isFull(limit, value)) full.set(key, (known = { limit, value, inLine: 0 }));
      if (known) return known;
    }
    return undefined;
  }

  #isFull(limit: Limit, value: string): boolean {
    const running = limit.type === "" ? this.#running.ofLabel(limit.labelKey, value) : this.#running.ofType(limit.type);
    return running >= limit.mostRunning;
  }

  /** Jobs that run under a limit; of one that each value of a label has, those of the value with most. */
  #runUnder({ type, labelKey, labelValue }: Limit): number {
    if (type !== "") return this.#running.ofType(type);
    if (labelValue !== "") return this.#running.ofLabel(labelKey, labelValue);
    let most = 0;
    for (const [value, count] of this.#running.valuesOf(labelKey))
      if (value === "" || !this.#limits.hasValue(labelKey, value)) most = Math.max(most, count);
    return most;
  }

  async #assign(job: Job, worker: Candidate): Promise<void> {
    // It counts from now on, for this look too.
    this.#running.take(job, worker.incarnation);
    this.#assigning.add(job);
    try {
      await job.update((record, now) => {
        if (!worker.takesWork) return undefined;
        const after = foldAssign(record, worker, now);
        const assignment = create(AssignmentSchema, {
          attempt: openAttempt(after)?.number ?? 0,
          workerId: worker.workerId,
          incarnation: worker.incarnation,
        });
        return { actor: serverActor, cause: { case: "assignment", value: assignment }, record: after };
      });
    } catch (error) {
      // The job was paused, canceled or ended while we looked: that entry wakes us again if there is more to do.
      if (!(error instanceof Refused)) this.#logger.error({ err: error, job: job.id }, "the job could not be assigned");
    } finally {
      this.#assigning.delete(job);
      // Others may have waited for what it does not take now.
      if (!openAttempt(job.record) && this.#running.release(job)) this.wake();
    }
  }

  #afterEntry(job: Job, before: JobRecord | undefined): void {
    const newest = job.record.attempts.at(-1);
    if (newest && before && openAttempt(before) && isNotTaken(job.record))
      this.#rests(`${job.id} ${newest.incarnation}`);
    if (this.#place(job)) this.wake();
  }

  /** Puts the job where its record says: with those that wait, or with those that run. Returns whether others may run by that. */
  #place(job: Job): boolean {
    const { record } = job;
    const attempt = openAttempt(record);
    const isFreed = !attempt && !this.#assigning.has(job) && this.#running.release(job);
    if (attempt) this.#running.take(job, attempt.incarnation);
    const known = this.#waiting.get(job);
    if (!isWaiting(record)) {
      this.#waiting.delete(job);
      if (isHeld(record))
        this.#say(job, `held: paused before ${record.attempts.length === 0 ? "it started" : "its next attempt"}`);
      else if (known && !attempt) this.#say(job, "");
      return isFreed || (known !== undefined && !attempt);
    }
    const waiting = { job, priority: wantedPriority(record.spec), queuedAt: Number(record.queuedAtUs) };
    if (waiting.priority !== known?.priority || waiting.queuedAt !== known.queuedAt) {
      this.#waiting.set(job, waiting);
      this.#order = undefined;
    }
    if (isResting(record)) this.#say(job, retryWords(record, Number(record.retryAtUs - record.queuedAtUs) / 1000));
    return true;
  }

  #rests(key: string): void {
    this.#declined.delete(key);
    this.#declined.set(key, performance.now());
  }

  #hasDeclined(worker: Candidate, job: Job): boolean {
    return this.#declined.size > 0 && this.#declined.has(`${job.id} ${worker.incarnation}`);
  }

  /** Forgets whose rest is over, and looks again when the next one's is. */
  #forgetDeclined(): void {
    const now = performance.now();
    for (const [key, at] of this.#declined) {
      if (now - at < declineRestMs) {
        this.#rest ??= setTimeout(
          () => {
            this.#rest = undefined;
            this.wake();
          },
          at + declineRestMs - now,
        );
        return;
      }
      this.#declined.delete(key);
    }
  }

  #say(job: Job, waitsFor: string, place = 0): void {
    const placeInLine = place > longestLine ? 0 : place;
    const said = this.#jobs.vitals.peek(job.id);
    if (said?.waitsFor === waitsFor && said.placeInLine === placeInLine) return;
    this.#jobs.vitals.change(job.id, (vitals) => Object.assign(vitals, { waitsFor, placeInLine }));
  }
}

/** What dispatch stands on. */
export interface DispatchParts {
  readonly jobs: Jobs;
  readonly candidates: () => Iterable<Candidate>;
  readonly limits: Limits;
  readonly logger: Logger;
}

function isQueued(record: JobRecord): boolean {
  return record.state === JobState.QUEUED && !openAttempt(record);
}

/** Whether the job stands in the queue for a worker, now or when its retry is due. */
function isWaiting(record: JobRecord): boolean {
  return isQueued(record) && wantedRun(record.spec) === RunMode.RUN;
}

/** Whether the job is in the queue and shall not run. */
function isHeld(record: JobRecord): boolean {
  return isQueued(record) && wantedRun(record.spec) !== RunMode.RUN;
}

/** Whether a job that waits does so for its next attempt, not for others. */
function isResting(record: JobRecord): boolean {
  return record.retryAtUs !== 0n;
}

/** Whether the job would run if it could. */
function isReady(record: JobRecord): boolean {
  return isWaiting(record) && !isResting(record);
}

function inOrder(a: Waiting, b: Waiting): number {
  return b.priority - a.priority || a.queuedAt - b.queuedAt || (a.job.id < b.job.id ? -1 : 1);
}

/** The same for jobs that may go to the same workers. */
function lineKey({ type, workerId, workerSelector }: JobRecord): string {
  const labels = Object.entries(workerSelector);
  const selector = labels.length === 0 ? "" : JSON.stringify(labels.sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${type} ${workerId} ${selector}`;
}

function newLine(workers: readonly Free[], record: JobRecord): Line {
  const { type, workerId } = record;
  const named = workers.filter(({ worker }) => workerId === "" || worker.workerId === workerId);
  const offering = named.filter(({ worker }) => worker.jobTypes.has(type));
  const fitting = offering.filter(({ worker }) => missingLabel(record, worker.labels) === undefined);
  const bare = (free: readonly Free[]) => free.map(({ worker }) => worker);
  const resting = restingWords(record, { named: bare(named), offering: bare(offering), fitting: bare(fitting) });
  return { working: fitting.filter(({ worker }) => worker.takesWork), resting, inLine: 0 };
}

/** The value that a job has of a limited label; empty for a limit of a type. */
function valueOf({ type, labelKey }: Limit, { labels }: JobRecord): string {
  return type === "" ? (labels[labelKey] ?? "") : "";
}

function useKey({ type, labelKey, labelValue }: Limit): string {
  return JSON.stringify([type, labelKey, labelValue]);
}

/**
 * Whether the worker of the newest attempt does not take the job on: it declined it, or gave it back again a moment after it did so before.
 * One that gives back and does not leave would else have it at once, and again, without end.
 */
function isNotTaken({ attempts }: JobRecord): boolean {
  const [newest, before] = [attempts.at(-1), attempts.at(-2)];
  if (newest?.end?.outcome !== EndOutcome.RELEASED) return newest?.end?.outcome === EndOutcome.DECLINED;
  return (
    before?.end?.outcome === EndOutcome.RELEASED &&
    before.incarnation === newest.incarnation &&
    newest.endedAtUs - before.endedAtUs < BigInt(declineRestMs * 1000)
  );
}

import { setImmediate } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  AssignmentSchema,
  EndOutcome,
  JobState,
  RunMode,
  type Actor,
} from "@signalbox/protocol";
import type { Logger } from "../logger.ts";
import { Refused } from "../refused.ts";
import type { Job } from "./job.ts";
import type { Jobs } from "./jobs.ts";
import { foldAssign } from "./job-fold.ts";
import { openAttempt } from "./job-record.ts";
import { wantedPriority, wantedRun } from "./levers.ts";

/** A connected worker process. */
export interface Candidate {
  readonly workerId: string;
  readonly incarnation: string;
  readonly slots: number;
  readonly jobTypes: ReadonlySet<string>;
  readonly metadata: Record<string, string>;
  /** Microseconds to add to its clock. */
  readonly clockOffsetUs: number;
  /** False if it is drained, and once it leaves or has left: nothing is assigned to it. */
  readonly takesWork: boolean;
  /** An operator wants it to have no more work. */
  readonly drained: boolean;
}

interface Free {
  readonly worker: Candidate;
  free: number;
}

export const serverActor: Actor = create(ActorSchema, { kind: ActorKind.SERVER, name: "server" });

/** Jobs of one type that may go to the same workers. */
interface Line {
  /** Workers that may run them and take work. */
  readonly working: readonly Free[];
  /** Why other workers that may run them get none. */
  readonly resting: string;
  inLine: number;
}

/** After a worker declined a job, that worker is not asked again for so long. */
const declineRestMs = 5_000;
/** Further back a job does not say its place: it would change with every job that leaves the line. */
const longestLine = 100;
/** So many workers are named where a job says what it waits for. */
const mostNamed = 3;
/** So many jobs are looked at before others get their turn in the event loop. */
const jobsAtOnce = 500;

/**
 * Gives queued jobs to workers: higher priority first, then the older job, to the worker with most free slots, or to the one that the
 * job names. Slots in use are counted from the jobs' open attempts. A job that stays says in its vitals what it waits for.
 */
export class Dispatch {
  readonly #jobs: Jobs;
  readonly #candidates: () => Iterable<Candidate>;
  readonly #logger: Logger;
  /** When a worker declined a job, oldest first. */
  readonly #declined = new Map<string, number>();
  #rest: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(jobs: Jobs, candidates: () => Iterable<Candidate>, logger: Logger) {
    this.#jobs = jobs;
    this.#candidates = candidates;
    this.#logger = logger;
    jobs.onEntry((job, before) => {
      const newest = job.record.attempts.at(-1);
      if (newest?.end?.outcome === EndOutcome.DECLINED && before && openAttempt(before))
        this.#rests(`${job.id} ${newest.incarnation}`);
      if (before?.state !== job.record.state || before?.spec?.generation !== job.record.spec?.generation) this.wake();
    });
  }

  /** Looks at the queue, now or again after the look that is under way. */
  wake(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  /** Assigns nothing more. Resolves when what was under way is done. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#rest);
    await this.#running;
  }

  async #run(): Promise<void> {
    await Promise.resolve();
    while (this.#again && !this.#stopped) {
      this.#again = false;
      await this.#look();
    }
  }

  async #look(): Promise<void> {
    const used = new Map<string, number>();
    const waiting: { job: Job; priority: number; queuedAt: number }[] = [];
    for (const job of this.#jobs.live()) {
      const attempt = openAttempt(job.record);
      if (attempt) used.set(attempt.incarnation, (used.get(attempt.incarnation) ?? 0) + 1);
      else if (job.record.state === JobState.QUEUED)
        waiting.push({ job, priority: wantedPriority(job.record.spec), queuedAt: Number(job.record.queuedAtUs) });
    }
    if (waiting.length === 0) return;
    waiting.sort((a, b) => b.priority - a.priority || a.queuedAt - b.queuedAt || (a.job.id < b.job.id ? -1 : 1));
    const workers = [...this.#candidates()].map((worker) => ({
      worker,
      free: worker.slots - (used.get(worker.incarnation) ?? 0),
    }));
    this.#forgetDeclined();

    const lines = new Map<string, Line>();
    const assigning: Promise<void>[] = [];
    for (const [index, { job }] of waiting.entries()) {
      if (index > 0 && index % jobsAtOnce === 0) await setImmediate();
      if (this.#stopped) break;
      if (job.record.state !== JobState.QUEUED || openAttempt(job.record)) continue;
      if (wantedRun(job.record.spec) !== RunMode.RUN) {
        this.#say(job, "held: paused before it started");
        continue;
      }
      const { type, workerId } = job.record;
      let line = lines.get(`${type} ${workerId}`);
      if (!line) lines.set(`${type} ${workerId}`, (line = newLine(workers, type, workerId)));
      let fit: Free | undefined;
      for (const each of line.working) {
        if (each.free > (fit?.free ?? 0) && each.worker.takesWork && !this.#hasDeclined(each.worker, job)) fit = each;
      }
      if (fit) {
        fit.free--;
        assigning.push(this.#assign(job, fit.worker));
      } else {
        line.inLine++;
        this.#say(job, reason(type, workerId, line));
      }
    }
    await Promise.all(assigning);
  }

  async #assign(job: Job, worker: Candidate): Promise<void> {
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
    }
  }

  #rests(key: string): void {
    this.#declined.delete(key);
    this.#declined.set(key, performance.now());
  }

  #hasDeclined(worker: Candidate, job: Job): boolean {
    return this.#declined.has(`${job.id} ${worker.incarnation}`);
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

  #say(job: Job, waitsFor: string): void {
    if (this.#jobs.vitals.peek(job.id)?.waitsFor === waitsFor) return;
    this.#jobs.vitals.change(job.id, (vitals) => (vitals.waitsFor = waitsFor));
  }
}

function newLine(workers: readonly Free[], type: string, workerId: string): Line {
  const named = workers.filter(({ worker }) => workerId === "" || worker.workerId === workerId);
  const offering = named.filter(({ worker }) => worker.jobTypes.has(type));
  const drained = offering.filter(({ worker }) => worker.drained);
  const leaving = offering.filter(({ worker }) => !worker.takesWork && !worker.drained);
  let resting = [restWords(drained, "drained"), restWords(leaving, "leaving")].filter(Boolean).join(", ");
  if (offering.length === 0)
    resting =
      workerId === ""
        ? `no worker offers type ${type}`
        : `worker ${workerId} ${named.length > 0 ? `does not offer type ${type}` : "is not connected"}`;
  return { working: offering.filter(({ worker }) => worker.takesWork), resting, inLine: 0 };
}

/** What a job waits for. */
function reason(type: string, workerId: string, { working, resting, inLine }: Line): string {
  if (working.length === 0) return resting;
  if (working.some(({ free }) => free > 0)) return `declined by ${names(working)}, asks again`;
  const slots = working.reduce((sum, { worker }) => sum + worker.slots, 0);
  const busy = `no free slot ${workerId === "" ? `for type ${type}` : `on worker ${workerId}`} (${slots} of ${slots} busy)`;
  const place = inLine > longestLine ? `more than ${longestLine} in line` : `${ordinal(inLine)} in line`;
  return [busy, resting, place].filter(Boolean).join(" · ");
}

/** 'worker a is drained', 'workers a, b are drained'; empty if there are none. */
function restWords(workers: readonly Free[], what: string): string {
  if (workers.length === 0) return "";
  return workers.length === 1 ? `worker ${names(workers)} is ${what}` : `workers ${names(workers)} are ${what}`;
}

function names(workers: readonly Free[]): string {
  const named = workers.slice(0, mostNamed).map(({ worker }) => worker.workerId);
  const more = workers.length - named.length;
  return more > 0 ? `${named.join(", ")} and ${more} more` : named.join(", ");
}

function ordinal(n: number): string {
  const tens = n % 100;
  if (tens >= 11 && tens <= 13) return `${n}th`;
  return `${n}${["th", "st", "nd", "rd"][n % 10] ?? "th"}`;
}

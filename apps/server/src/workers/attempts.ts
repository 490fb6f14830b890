import { create } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  AttemptBackSchema,
  AttemptLostSchema,
  AttemptReportSchema,
  WorkerLinkState,
  type Actor,
  type AttemptEnd,
  type AttemptReport,
  type AttemptVitals,
  type JobRecord,
  type VitalsReport,
} from "@signalbox/protocol";
import { isInDoubt } from "@signalbox/protocol/job-state";
import type { Clock } from "../clock.ts";
import { serverActor } from "../jobs/dispatch.ts";
import type { Job } from "../jobs/job.ts";
import { foldHello } from "../jobs/fold-report.ts";
import { foldBack, foldLost, foldReplaced, replacedReason } from "../jobs/job-fold.ts";
import { endedUnheard, openAttempt } from "../jobs/job-record.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { recordLate } from "../jobs/late-evidence.ts";
import type { Logger } from "../logger.ts";
import type { Logs } from "../logs/logs.ts";
import { Refused } from "../refused.ts";
import { StoreClosed, type TopicInfo } from "../store/store.ts";
import type { Background } from "./background.ts";
import { Eta } from "./eta.ts";
import type { LeaseClock } from "./lease-clock.ts";
import type { LogIngest } from "./log-ingest.ts";
import { sayEndAccepted, sayFenced, saySpec } from "./say.ts";
import type { Sessions } from "./sessions.ts";
import type { WorkerNames } from "./worker-names.ts";
import type { WorkerSession } from "./worker-session.ts";
import { checkReport, linkOf, setMeasured } from "./worker-words.ts";

interface Parts {
  readonly jobs: Jobs;
  readonly logs: Logs;
  readonly ingest: LogIngest;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly sessions: Sessions;
  readonly names: WorkerNames;
  readonly leases: LeaseClock;
  readonly background: Background;
  /** Milliseconds that only rise. */
  readonly monotonic: () => number;
  /** The log of an attempt that has ended is sealed. */
  readonly onSealed: () => void;
}

/** The attempts of connected workers: what their workers say of them is folded, and what is wanted of them is said. */
export class Attempts {
  readonly #parts: Parts;
  readonly #etas = new Map<string, Eta>();
  /** Ends that wait for their lines. */
  readonly #waitingEnds = new WeakMap<WorkerSession, Set<string>>();

  constructor(parts: Parts) {
    this.#parts = parts;
    parts.jobs.onEntry((job, before) => this.#afterEntry(job, before));
  }

  /**
   * After a start of the server: seals logs whose attempt has ended, and says of late evidence that it is there where the job's history does
   * not. `topics` are those of all logs.
   */
  async restore(topics: readonly TopicInfo[]): Promise<void> {
    for (const info of topics) {
      try {
        await this.#restoreLog(info);
      } catch (error) {
        this.#parts.logger.error(
          { err: error, topic: info.topic },
          "a log could not be put right; the next start does it",
        );
      }
    }
  }

  async #restoreLog({ topic, sealed }: TopicInfo): Promise<void> {
    const { jobs, logs, background, logger } = this.#parts;
    const [, jobId, number, late] = topic.split("/");
    if (jobId === undefined || number === undefined) return;
    const attempt = Number(number);
    const job = jobs.find(jobId);
    if (late === undefined) {
      const isOpen = job !== undefined && openAttempt(job.record)?.number === attempt;
      if (sealed || isOpen) return;
      // Not waited for: on a full disk that would hold the start up.
      background.track(logs.seal(jobId, attempt, "ended"), (error) =>
        logger.error({ err: error, topic }, "the log of an ended attempt was not sealed; the next start does it"),
      );
    } else if (job && !job.record.late.find((each) => each.attempt === attempt)?.firstLine) {
      await recordLate(job, attempt, { firstLine: await logs.late.firstLine(jobId, attempt) });
    }
  }

  /** Brings the server's and the worker's idea of its attempts together, after a hello. Call it before anything is sent to the worker. */
  async reconcile(session: WorkerSession, attempts: readonly AttemptReport[]): Promise<void> {
    const doubts = new Map(this.#parts.jobs.attemptsOf(session.workerId).map((job) => [job.id, doubtsOf(job.record)]));
    for (const job of this.#parts.jobs.attemptsOf(session.workerId)) {
      const attempt = openAttempt(job.record);
      if (!attempt) continue;
      if (attempt.incarnation !== session.incarnation) {
        await this.#replaced(job, attempt.incarnation);
      } else if (!attempts.some((each) => each.jobId === job.id && each.attempt === attempt.number)) {
        // The assignment never reached it, or it stopped before it could say so: deliver it (again).
        const nothing = create(AttemptReportSchema, { jobId: job.id, attempt: attempt.number });
        await this.report(session, nothing, doubts.get(job.id));
        saySpec(session, job, this.#parts.clock);
      }
    }
    for (const attempt of attempts) {
      await this.report(session, attempt, doubts.get(attempt.jobId));
      const job = this.#ownJob(session, attempt.jobId, attempt.attempt);
      if (job) saySpec(session, job, this.#parts.clock);
    }
  }

  /**
   * Folds the worker's word on an attempt; at a hello, with the commands that were in doubt when it came. An attempt that is not its own is
   * answered with `fenced`, an ended one with `end_accepted`. Throws Refused.
   */
  async report(session: WorkerSession, said: AttemptReport, doubts: readonly bigint[] = []): Promise<void> {
    const report = checkReport(said);
    const job = this.#ownJob(session, report.jobId, report.attempt);
    if (!job) {
      await this.#answerForeign(session, report);
      return;
    }
    if (report.end && !(await this.#hasLines(report, report.end))) {
      // The log is sealed where the end is folded: lines that are still on their way would be lost.
      this.#endWhenStored(session, { ...report });
      delete report.end;
    }
    const actor = workerActor(session);
    await job.update((before, now) => {
      const serverTime = session.tellsTime ? (workerUs: number) => session.serverTime(workerUs, now) : undefined;
      const attempt = openAttempt(before);
      if (attempt?.number !== report.attempt || attempt.incarnation !== session.incarnation) return undefined;
      if (attempt.lostAtUs !== 0n && !report.end) {
        const back = foldBack(before, now);
        if (back) {
          const record = foldHello(back, report, doubts, now, serverTime) ?? back;
          return {
            actor,
            cause: { case: "back", value: create(AttemptBackSchema, { attempt: attempt.number }) },
            record,
          };
        }
      }
      const record = foldHello(before, report, doubts, now, serverTime);
      return record && { actor, cause: { case: "report", value: report }, record };
    });
  }

  /** Folds what the worker measured of its attempts. What is not its own is ignored. */
  vitals(session: WorkerSession, report: VitalsReport): void {
    for (const measured of report.attempts) {
      const job = this.#ownJob(session, measured.jobId, measured.attempt);
      if (job) this.#measured(job, session, measured);
    }
  }

  /** Says in the vitals of the session's attempts that it is heard. */
  heard(session: WorkerSession): void {
    for (const job of this.#parts.jobs.attemptsOf(session.workerId)) {
      if (openAttempt(job.record)?.incarnation === session.incarnation)
        this.#link(job, WorkerLinkState.CONNECTED, session);
    }
  }

  /** Says in the vitals of a job that its worker is silent. */
  silent(job: Job): void {
    this.#link(job, WorkerLinkState.SILENT);
  }

  /** The process that runs the job's open attempt is lost. */
  async lose(job: Job, incarnation: string, reason: string): Promise<void> {
    await this.#foldLoss(job, incarnation, (before, now) => foldLost(before, reason, now));
  }

  /** Another process has the name of the one that runs the job's open attempt. */
  async #replaced(job: Job, incarnation: string): Promise<void> {
    await this.#foldLoss(
      job,
      incarnation,
      (before, now) => foldLost(before, replacedReason, now) ?? foldReplaced(before, now),
    );
  }

  async #foldLoss(
    job: Job,
    incarnation: string,
    fold: (before: JobRecord, now: number) => JobRecord | undefined,
  ): Promise<void> {
    this.#link(job, WorkerLinkState.LOST);
    await job.update((before, now) => {
      const attempt = openAttempt(before);
      if (attempt?.incarnation !== incarnation) return undefined;
      const record = fold(before, now);
      if (!record) return undefined;
      const lost = create(AttemptLostSchema, { attempt: attempt.number, reason: record.reason });
      return { actor: serverActor, cause: { case: "lost", value: lost }, record };
    });
  }

  async #hasLines({ jobId, attempt }: AttemptReport, end: AttemptEnd, late = false): Promise<boolean> {
    const { logs } = this.#parts;
    return BigInt((await (late ? logs.late : logs).end(jobId, attempt)).nextLine) >= end.endLine;
  }

  /**
   * Folds a report that came before the attempt's last lines, when they are there. If the session ends first, the worker says it again;
   * what it says twice meanwhile is waited for once.
   */
  #endWhenStored(session: WorkerSession, report: AttemptReport, late = false): void {
    const { jobId, attempt } = report;
    const waiting = this.#waitingEnds.get(session) ?? new Set();
    this.#waitingEnds.set(session, waiting);
    const key = `${jobId}/${attempt}${late ? "/late" : ""}`;
    if (waiting.has(key)) return;
    waiting.add(key);
    const { logs, logger } = this.#parts;
    const fold = async () => {
      await (late ? logs.late : logs).reached(jobId, attempt, Number(report.end?.endLine ?? 1n), session.closed);
      waiting.delete(key);
      if (!session.closed.aborted) await this.report(session, report);
    };
    fold().catch((error: unknown) => {
      if (!(error instanceof StoreClosed))
        logger.error({ err: error, job: jobId }, "an end could not be stored; its worker says it again");
      session.end(new Refused("unavailable", "The end of an attempt was not stored. Connect again and say it again."));
    });
  }

  /** The job, if this attempt of it is open and belongs to the session's process. */
  #ownJob(session: WorkerSession, jobId: string, attempt: number): Job | undefined {
    if (!this.#parts.sessions.isCurrent(session)) return undefined;
    let job;
    try {
      job = this.#parts.jobs.get(jobId);
    } catch (error) {
      if (error instanceof Refused) return undefined;
      throw error;
    }
    const open = openAttempt(job.record);
    return open?.number === attempt && open.workerId === session.workerId && open.incarnation === session.incarnation
      ? job
      : undefined;
  }

  /** Answers a report on an attempt that is not the worker's any more. What it says of the end of one that the room ended is evidence. */
  async #answerForeign(session: WorkerSession, report: AttemptReport): Promise<void> {
    const { jobId, attempt, end } = report;
    const job = this.#parts.jobs.find(jobId);
    const stored = job?.record.attempts.find(({ number }) => number === attempt);
    if (!job || stored?.incarnation !== session.incarnation || !stored.end) {
      // Of an attempt so old that nothing is known of it, the end is of no use to anybody: its worker may forget it.
      if (job && end && attempt < (job.record.attempts[0]?.number ?? 0)) sayEndAccepted(session, jobId, attempt);
      else
        sayFenced(
          session,
          jobId,
          attempt,
          job ? "the attempt was given up or belongs to another process" : "there is no such job in this store",
        );
      return;
    }
    if (endedUnheard(stored)) {
      if (end && !(await this.#hasLines(report, end, true))) {
        this.#endWhenStored(session, { ...report }, true);
        return;
      }
      if (end) await recordLate(job, attempt, { end });
      else if (!job.record.late.find((late) => late.attempt === attempt)?.end) {
        sayFenced(session, jobId, attempt, stored.end.reason);
        return;
      }
    }
    // A late word on an end that is stored must not take the place of its acceptance.
    sayEndAccepted(session, jobId, attempt);
  }

  #measured(job: Job, session: WorkerSession, measured: AttemptVitals): void {
    const eta = this.#etaOf(job.id).measured(measured, this.#parts.monotonic());
    const at = session.serverTime(Number(measured.atUs), this.#parts.clock());
    this.#parts.jobs.vitals.change(job.id, (vitals) => setMeasured(vitals, measured, eta, at));
  }

  #etaOf(jobId: string): Eta {
    let eta = this.#etas.get(jobId);
    if (!eta) this.#etas.set(jobId, (eta = new Eta()));
    return eta;
  }

  #link(job: Job, state: WorkerLinkState, session?: WorkerSession): void {
    this.#parts.jobs.vitals.change(job.id, (vitals) => {
      vitals.link = linkOf(state, session, vitals.link, this.#parts.clock());
    });
  }

  /** Tells the worker what changed, and closes the log of an attempt that has ended. */
  #afterEntry(job: Job, before: JobRecord | undefined): void {
    const { jobs, names, leases, sessions, clock, monotonic } = this.#parts;
    const was = before && openAttempt(before);
    const open = openAttempt(job.record);
    if (was && was.number !== open?.number) this.#close(job, was.number);
    if (!open) return;
    if (was?.number !== open.number) {
      jobs.vitals.change(job.id, (vitals) => (vitals.itemNoun = names.jobType(job.record.type)?.itemNoun ?? ""));
      this.#etas.delete(job.id);
      // Its lease may have run out while the assignment was being stored.
      if (!leases.watches(open.incarnation)) leases.hear(open.incarnation, monotonic());
    }
    const session = sessions.get(open.workerId);
    if (session?.incarnation !== open.incarnation) return;
    if (was?.number !== open.number) this.#link(job, WorkerLinkState.CONNECTED, session);
    if (was?.number !== open.number || before?.spec?.generation !== job.record.spec?.generation)
      saySpec(session, job, clock);
  }

  #close(job: Job, number: number): void {
    const { ingest, logs, sessions, background, logger, onSealed } = this.#parts;
    ingest.close(job.id, number);
    this.#etas.delete(job.id);
    const attempt = job.record.attempts.find((each) => each.number === number);
    if (!attempt) return;
    const unheard = endedUnheard(attempt);
    const close = async () => {
      try {
        await logs.seal(job.id, number, unheard ? "given up" : "ended");
        const session = sessions.get(attempt.workerId);
        if (session?.incarnation !== attempt.incarnation) return;
        if (unheard) sayFenced(session, job.id, number, attempt.end?.reason ?? "the attempt was given up");
        else sayEndAccepted(session, job.id, number);
      } finally {
        onSealed();
      }
    };
    background.track(close(), (error) =>
      logger.error(
        { err: error, job: job.id },
        "the log of an ended attempt could not be sealed; the next start does it",
      ),
    );
  }
}

/** The generations of commands that are in doubt. */
function doubtsOf({ receipts }: JobRecord): bigint[] {
  return receipts.filter(isInDoubt).map(({ generation }) => generation);
}

function workerActor(session: WorkerSession): Actor {
  return create(ActorSchema, { kind: ActorKind.WORKER, name: session.workerId });
}

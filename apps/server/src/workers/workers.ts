import { create } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  AttemptBackSchema,
  AttemptLostSchema,
  AttemptReportSchema,
  EndOutcome,
  WorkerLinkState,
  type Actor,
  type AttemptEnd,
  type AttemptReport,
  type AttemptVitals,
  type Hello,
  type JobRecord,
  type JobType,
  type OfferedJobType,
  type VitalsReport,
  type WorkerHeartbeat,
} from "@signalbox/protocol";
import { systemClock, type Clock } from "../clock.ts";
import { serverActor, type Dispatch } from "../jobs/dispatch.ts";
import type { Job } from "../jobs/job.ts";
import { foldReport } from "../jobs/fold-report.ts";
import { foldBack, foldLost } from "../jobs/job-fold.ts";
import { hasEnded, openAttempt } from "../jobs/job-record.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Logger } from "../logger.ts";
import type { Logs } from "../logs/logs.ts";
import { Refused } from "../refused.ts";
import { StoreClosed, type Store } from "../store/store.ts";
import { checkHello } from "./check-hello.ts";
import { Eta } from "./eta.ts";
import { LeaseClock, leaseMs, silentAfterMs } from "./lease-clock.ts";
import type { LogIngest } from "./log-ingest.ts";
import { offeredTypes } from "./offered-types.ts";
import { WorkerNames } from "./worker-names.ts";
import { attemptSpec, down, WorkerSession } from "./worker-session.ts";
import { checkReport, itemsLeft, linkOf, rateOf, setMeasured } from "./worker-words.ts";

interface Parts {
  readonly store: Store;
  readonly jobs: Jobs;
  readonly logs: Logs;
  readonly ingest: LogIngest;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** The workers that are connected, what they offer, and the leases of their names. */
export class Workers {
  readonly ingest: LogIngest;
  readonly #jobs: Jobs;
  readonly #logs: Logs;
  readonly #names: WorkerNames;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #sessions = new Map<string, WorkerSession>();
  readonly #leases: LeaseClock;
  readonly #etas = new Map<string, Eta>();
  readonly #underWay = new Set<Promise<void>>();
  #dispatch: Dispatch | undefined;
  #typesVersion = 1;
  #draining = false;

  private constructor(parts: Parts, names: WorkerNames) {
    this.#names = names;
    this.#jobs = parts.jobs;
    this.#logs = parts.logs;
    this.ingest = parts.ingest;
    this.#logger = parts.logger;
    this.#clock = parts.clock ?? systemClock;
    this.#leases = new LeaseClock(performance.now());
  }

  /**
   * Reads what is known of workers. Every worker with an open attempt gets a full lease, since the server has just begun to listen.
   * Logs whose attempt has ended but that were not sealed when the server stopped are sealed now.
   */
  static async open(parts: Parts): Promise<Workers> {
    const workers = new Workers(parts, await WorkerNames.open(parts.store));
    const open = new Set<string>();
    for (const job of parts.jobs.live()) {
      const attempt = openAttempt(job.record);
      if (!attempt) continue;
      open.add(`log/${job.id}/${attempt.number}`);
      if (attempt.lostAtUs === 0n) workers.#leases.hear(attempt.incarnation, performance.now());
    }
    for (const { topic, sealed } of await parts.store.journal.topics("log/")) {
      const [, jobId, attempt] = topic.split("/");
      if (!sealed && !open.has(topic) && jobId && attempt) await parts.logs.seal(jobId, Number(attempt), "ended");
    }
    parts.jobs.onEntry((job, before) => workers.#afterEntry(job, before));
    return workers;
  }

  /** Who is told when a worker comes, goes or has a free slot. */
  set dispatch(dispatch: Dispatch) {
    this.#dispatch = dispatch;
  }

  /** Connected processes that take assignments. */
  *candidates(): Iterable<WorkerSession> {
    if (this.#draining) return;
    for (const session of this.#sessions.values()) if (session.takesWork) yield session;
  }

  /** Connected processes. */
  get sessions(): Iterable<WorkerSession> {
    return this.#sessions.values();
  }

  /** The job type as the newest worker described it, whether or not one is connected; undefined if none ever offered it. */
  jobType(name: string): JobType | undefined {
    return this.#names.jobType(name);
  }

  /** Rises when the offered types, workers or slots change. */
  get typesVersion(): number {
    return this.#typesVersion;
  }

  /** What connected workers offer, by name. */
  offeredTypes(): OfferedJobType[] {
    return offeredTypes(
      this.candidates(),
      ({ workerId, incarnation }) =>
        this.#jobs.attemptsOf(workerId).filter((job) => openAttempt(job.record)?.incarnation === incarnation).length,
      (name) => this.jobType(name),
    );
  }

  /**
   * Takes a worker's hello: the name is this process's from now on, its attempts go on, and those of another process under the name are
   * lost. Throws Refused.
   */
  async connect(hello: Hello): Promise<WorkerSession> {
    checkHello(hello);
    hello.attempts.forEach(checkReport);
    if (this.#draining) throw new Refused("unavailable", "The server is stopping. Connect again in a moment.");
    for (const other of this.#sessions.values()) {
      if (other.incarnation === hello.incarnation && other.workerId !== hello.workerId)
        throw new Refused(
          "invalid",
          `This incarnation is connected as ${other.workerId}: it is random for each process.`,
        );
    }
    const now = this.#clock();
    const epoch = await this.#names.take(hello, now);
    const before = this.#sessions.get(hello.workerId);
    const session = new WorkerSession(hello, epoch, now);
    this.#sessions.set(hello.workerId, session);
    before?.end(
      before.incarnation === hello.incarnation
        ? new Refused("unavailable", "The same process connected again.")
        : new Refused(
            "wrong-state",
            `Another process took the name ${hello.workerId} over. Give each worker process a name of its own.`,
          ),
    );
    this.#leases.hear(hello.incarnation, performance.now());
    this.#track(this.#forgetOldest(), (error) =>
      this.#logger.error({ err: error }, "an old worker's name could not be forgotten; the next new name tries again"),
    );
    try {
      await this.#reconcile(session, hello.attempts);
    } catch (error) {
      this.disconnect(session);
      throw error;
    }
    this.#typesVersion++;
    this.#dispatch?.wake();
    this.#logger.info(
      { worker: hello.workerId, agent: hello.agent, slots: hello.slots, attempts: hello.attempts.length },
      "worker connected",
    );
    return session;
  }

  /** The stream of a session ended. */
  disconnect(session: WorkerSession): void {
    session.end();
    if (this.#sessions.get(session.workerId) !== session) return;
    this.#sessions.delete(session.workerId);
    this.#typesVersion++;
    this.#dispatch?.wake();
    this.#logger.info({ worker: session.workerId }, "worker disconnected");
  }

  /** The session of a process that may push lines. Throws Refused if it is not connected. */
  sessionOf(incarnation: string): WorkerSession {
    for (const session of this.#sessions.values()) if (session.incarnation === incarnation) return session;
    throw new Refused("unavailable", "This process is not connected: open the Connect stream first.");
  }

  /** A sign of life. */
  heard(session: WorkerSession): void {
    if (!this.#isCurrent(session)) return;
    this.#leases.hear(session.incarnation, performance.now());
  }

  /** The worker takes no more assignments. */
  leaving(session: WorkerSession): void {
    session.leaving = true;
    this.#typesVersion++;
    this.#dispatch?.wake();
  }

  /** Folds a heartbeat. */
  heartbeat(session: WorkerSession, heartbeat: WorkerHeartbeat): void {
    const now = this.#clock();
    if (heartbeat.echoServerTimeUs !== 0n)
      session.measure(Number(heartbeat.echoServerTimeUs), Number(heartbeat.workerTimeUs), now);
    session.bufferedBytes = heartbeat.bufferedBytes;
    for (const job of this.#jobs.attemptsOf(session.workerId)) {
      if (openAttempt(job.record)?.incarnation === session.incarnation)
        this.#link(job, WorkerLinkState.CONNECTED, session);
    }
  }

  /** Folds what the worker measured of its attempts. What is not its own is ignored. */
  vitals(session: WorkerSession, report: VitalsReport): void {
    for (const measured of report.attempts) {
      const job = this.#ownJob(session, measured.jobId, measured.attempt);
      if (job) this.#measured(job, session, measured);
    }
  }

  /** Folds the worker's word on an attempt. An attempt that is not its own is answered with `fenced`, an ended one with `end_accepted`. Throws Refused. */
  async report(session: WorkerSession, said: AttemptReport): Promise<void> {
    const report = checkReport(said);
    const job = this.#ownJob(session, report.jobId, report.attempt);
    if (!job) {
      this.#answerForeign(session, report);
      return;
    }
    if (report.end && !(await this.#hasLines(report, report.end))) {
      // The log is sealed where the end is folded: lines that are still on their way would be lost.
      this.#endWhenStored(session, { ...report }).catch((error: unknown) => {
        if (!(error instanceof StoreClosed))
          this.#logger.error({ err: error, job: job.id }, "an end could not be stored; its worker says it again");
        session.end(
          new Refused("unavailable", "The end of an attempt was not stored. Connect again and say it again."),
        );
      });
      delete report.end;
    }
    const actor = workerActor(session);
    await job.update((before, now) => {
      const attempt = openAttempt(before);
      if (attempt?.number !== report.attempt || attempt.incarnation !== session.incarnation) return undefined;
      if (attempt.lostAtUs !== 0n && !report.end) {
        const back = foldBack(before, now);
        if (back) {
          const record = foldReport(back, report, now) ?? back;
          return {
            actor,
            cause: { case: "back", value: create(AttemptBackSchema, { attempt: attempt.number }) },
            record,
          };
        }
      }
      const record = foldReport(before, report, now);
      return record && { actor, cause: { case: "report", value: report }, record };
    });
  }

  async #hasLines({ jobId, attempt }: AttemptReport, end: AttemptEnd): Promise<boolean> {
    return BigInt((await this.#logs.end(jobId, attempt)).nextLine) >= end.endLine;
  }

  /** Folds a report that came before the attempt's last lines, when they are there. If the session ends first, the worker says it again. */
  async #endWhenStored(session: WorkerSession, report: AttemptReport): Promise<void> {
    await this.#logs.reached(report.jobId, report.attempt, Number(report.end?.endLine ?? 1n), session.closed);
    if (!session.closed.aborted) await this.report(session, report);
  }

  /** Looks at leases, and tells who has become silent or is lost. Call it about every second, however long the store takes. */
  look(): void {
    for (const { holder, state } of this.#leases.look(performance.now())) {
      if (state === "lost") {
        this.#leases.forget(holder);
        for (const session of this.#sessions.values()) {
          if (session.incarnation === holder)
            session.end(new Refused("unavailable", "No sign of life for the length of the lease."));
        }
      }
      for (const job of this.#jobs.live()) {
        const attempt = openAttempt(job.record);
        if (attempt?.incarnation !== holder) continue;
        if (state === "silent") this.#link(job, WorkerLinkState.SILENT);
        else
          this.#track(
            this.#lose(
              job,
              holder,
              `worker ${attempt.workerId} has been silent for ${leaseMs / 1000} s; its lease ran out`,
            ),
            // Not stored: the lease runs out once more.
            (error) => {
              this.#logger.error({ err: error, job: job.id }, "a lost attempt could not be stored; it is tried again");
              if (!this.#leases.watches(holder)) this.#leases.hear(holder, performance.now() - silentAfterMs);
            },
          );
      }
    }
  }

  /** Asks a worker to take no more work and, with `stop`, to release what it runs and exit. Returns false if it is not connected. */
  drain(workerId: string, stop: boolean, reason: string): boolean {
    const session = this.#sessions.get(workerId);
    if (session) this.leaving(session);
    session?.say("drain", () => down({ case: "drain", value: { $typeName: "signalbox.v1.Drain", stop, reason } }));
    return session !== undefined;
  }

  /** Takes no more hellos and assigns nothing more. */
  beginDrain(): void {
    this.#draining = true;
  }

  /** Resolves when nothing is being stored any more on this object's own account. */
  async settle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /** Work that nobody waits for but {@link settle}. */
  #track(work: Promise<void>, failed: (error: unknown) => void): void {
    const tracked = work
      .catch((error: unknown) => {
        if (!(error instanceof StoreClosed)) failed(error);
      })
      .finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
  }

  async #forgetOldest(): Promise<void> {
    const busy = [...this.#jobs.live()].map((job) => openAttempt(job.record)?.workerId);
    await this.#names.forgetOldest(new Set([...this.#sessions.keys(), ...busy]));
  }

  /** Brings the server's and the worker's idea of its attempts together, after a hello. */
  async #reconcile(session: WorkerSession, attempts: readonly AttemptReport[]): Promise<void> {
    for (const job of this.#jobs.attemptsOf(session.workerId)) {
      const attempt = openAttempt(job.record);
      if (!attempt) continue;
      if (attempt.incarnation !== session.incarnation) {
        await this.#lose(job, attempt.incarnation, "worker restarted: another process has its name");
      } else if (!attempts.some((each) => each.jobId === job.id && each.attempt === attempt.number)) {
        // The assignment never reached it, or it stopped before it could say so: deliver it (again).
        await this.report(session, create(AttemptReportSchema, { jobId: job.id, attempt: attempt.number }));
        this.#saySpec(session, job);
      }
    }
    for (const attempt of attempts) {
      await this.report(session, attempt);
      const job = this.#ownJob(session, attempt.jobId, attempt.attempt);
      if (job) this.#saySpec(session, job);
    }
  }

  /** The job, if this attempt of it is open and belongs to the session's process. */
  #ownJob(session: WorkerSession, jobId: string, attempt: number): Job | undefined {
    if (!this.#isCurrent(session)) return undefined;
    let job;
    try {
      job = this.#jobs.get(jobId);
    } catch (error) {
      if (error instanceof Refused) return undefined;
      throw error;
    }
    const open = openAttempt(job.record);
    return open?.number === attempt && open.workerId === session.workerId && open.incarnation === session.incarnation
      ? job
      : undefined;
  }

  #isCurrent(session: WorkerSession): boolean {
    return this.#sessions.get(session.workerId) === session;
  }

  #answerForeign(session: WorkerSession, { jobId, attempt, end }: AttemptReport): void {
    let record: JobRecord | undefined;
    try {
      ({ record } = this.#jobs.get(jobId));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
    const stored = record?.attempts.find((each) => each.number === attempt);
    // A late word on an end that is stored must not take the place of its acceptance.
    if (stored?.end && stored.incarnation === session.incarnation && (end || isByWorker(stored.end)))
      this.#sayEndAccepted(session, jobId, attempt);
    else
      this.#sayFenced(
        session,
        jobId,
        attempt,
        record ? "the attempt was given up or belongs to another process" : "there is no such job in this store",
      );
  }

  #measured(job: Job, session: WorkerSession, measured: AttemptVitals): void {
    const eta = this.#etaOf(job.id).next(rateOf(measured), itemsLeft(measured));
    const at = session.serverTime(Number(measured.atUs), this.#clock());
    this.#jobs.vitals.change(job.id, (vitals) => setMeasured(vitals, measured, eta, at));
  }

  #etaOf(jobId: string): Eta {
    let eta = this.#etas.get(jobId);
    if (!eta) this.#etas.set(jobId, (eta = new Eta()));
    return eta;
  }

  #link(job: Job, state: WorkerLinkState, session?: WorkerSession): void {
    this.#jobs.vitals.change(job.id, (vitals) => {
      vitals.link = linkOf(state, session, vitals.link, this.#clock());
    });
  }

  async #lose(job: Job, incarnation: string, reason: string): Promise<void> {
    this.#link(job, WorkerLinkState.LOST);
    await job.update((before, now) => {
      const attempt = openAttempt(before);
      if (attempt?.incarnation !== incarnation) return undefined;
      const record = foldLost(before, reason, now);
      return (
        record && {
          actor: serverActor,
          cause: { case: "lost", value: create(AttemptLostSchema, { attempt: attempt.number, reason }) },
          record,
        }
      );
    });
  }

  /** Tells the worker what changed, and closes the log of an attempt that has ended. */
  #afterEntry(job: Job, before: JobRecord | undefined): void {
    const was = before && openAttempt(before);
    const open = openAttempt(job.record);
    if (was && was.number !== open?.number) this.#close(job, was.number);
    if (was?.number !== open?.number || hasEnded(job.record)) this.#typesVersion++;
    if (!open) return;
    if (was?.number !== open.number) {
      this.#jobs.vitals.change(job.id, (vitals) => (vitals.itemNoun = this.jobType(job.record.type)?.itemNoun ?? ""));
      this.#etas.delete(job.id);
      // Its lease may have run out while the assignment was being stored.
      if (!this.#leases.watches(open.incarnation)) this.#leases.hear(open.incarnation, performance.now());
    }
    const session = this.#sessions.get(open.workerId);
    if (session?.incarnation !== open.incarnation) return;
    if (was?.number !== open.number) this.#link(job, WorkerLinkState.CONNECTED, session);
    if (was?.number !== open.number || before?.spec?.generation !== job.record.spec?.generation)
      this.#saySpec(session, job);
  }

  #close(job: Job, number: number): void {
    this.ingest.close(job.id, number);
    this.#etas.delete(job.id);
    const attempt = job.record.attempts.find((each) => each.number === number);
    if (!attempt) return;
    const { end } = attempt;
    const byWorker = end !== undefined && isByWorker(end);
    const close = async () => {
      try {
        await this.#logs.seal(job.id, number, byWorker ? "ended" : "given up");
        const session = this.#sessions.get(attempt.workerId);
        if (session?.incarnation !== attempt.incarnation) return;
        if (byWorker) this.#sayEndAccepted(session, job.id, number);
        else this.#sayFenced(session, job.id, number, end?.reason ?? "the attempt was given up");
      } finally {
        this.#dispatch?.wake();
      }
    };
    this.#track(close(), (error) =>
      this.#logger.error(
        { err: error, job: job.id },
        "the log of an ended attempt could not be sealed; the next start does it",
      ),
    );
  }

  #saySpec(session: WorkerSession, job: Job): void {
    session.say(`spec ${job.id}`, () => {
      const open = openAttempt(job.record);
      const spec = open?.incarnation === session.incarnation ? attemptSpec(job.record, this.#clock()) : undefined;
      return spec && down({ case: "spec", value: spec });
    });
  }

  #sayEndAccepted(session: WorkerSession, jobId: string, attempt: number): void {
    session.say(`end ${jobId} ${attempt}`, () =>
      down({ case: "endAccepted", value: { $typeName: "signalbox.v1.EndAccepted", jobId, attempt } }),
    );
  }

  #sayFenced(session: WorkerSession, jobId: string, attempt: number, reason: string): void {
    session.say(`end ${jobId} ${attempt}`, () =>
      down({ case: "fenced", value: { $typeName: "signalbox.v1.Fenced", jobId, attempt, reason } }),
    );
  }
}

/** Whether an attempt ended by its worker's word: the server's own ends have no time of the worker's. */
function isByWorker(end: AttemptEnd): boolean {
  return end.outcome !== EndOutcome.GIVEN_UP && end.atUs !== 0n;
}

function workerActor(session: WorkerSession): Actor {
  return create(ActorSchema, { kind: ActorKind.WORKER, name: session.workerId });
}

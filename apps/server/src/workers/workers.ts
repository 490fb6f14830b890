import type {
  AttemptReport,
  Hello,
  JobRecord,
  JobType,
  OfferedJobType,
  VitalsReport,
  WorkerHeartbeat,
} from "@signalbox/protocol";
import { systemClock, type Clock } from "../clock.ts";
import type { Dispatch } from "../jobs/dispatch.ts";
import type { Job } from "../jobs/job.ts";
import { hasEnded, openAttempt } from "../jobs/job-record.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Logger } from "../logger.ts";
import type { Logs } from "../logs/logs.ts";
import { Refused } from "../refused.ts";
import type { Store } from "../store/store.ts";
import { Attempts } from "./attempts.ts";
import { Background } from "./background.ts";
import { checkHello } from "./check-hello.ts";
import { LeaseClock, leaseMs, silentAfterMs } from "./lease-clock.ts";
import type { LogIngest } from "./log-ingest.ts";
import { offeredTypes } from "./offered-types.ts";
import { Sessions } from "./sessions.ts";
import { WorkerNames } from "./worker-names.ts";
import { down, WorkerSession } from "./worker-session.ts";
import { checkReport } from "./worker-words.ts";

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
  readonly #names: WorkerNames;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #sessions = new Sessions();
  readonly #leases = new LeaseClock(performance.now());
  readonly #background = new Background();
  readonly #attempts: Attempts;
  #dispatch: Dispatch | undefined;
  #typesVersion = 1;
  #draining = false;

  private constructor(parts: Parts, names: WorkerNames) {
    this.#names = names;
    this.#jobs = parts.jobs;
    this.ingest = parts.ingest;
    this.#logger = parts.logger;
    this.#clock = parts.clock ?? systemClock;
    this.#attempts = new Attempts({
      jobs: parts.jobs,
      logs: parts.logs,
      ingest: parts.ingest,
      logger: parts.logger,
      clock: this.#clock,
      sessions: this.#sessions,
      names,
      leases: this.#leases,
      background: this.#background,
      onSealed: () => this.#dispatch?.wake(),
    });
    parts.jobs.onEntry((job, before) => this.#afterEntry(job, before));
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
    return workers;
  }

  /** Who is told when a worker comes, goes or has a free slot. */
  set dispatch(dispatch: Dispatch) {
    this.#dispatch = dispatch;
  }

  /** Connected processes that take assignments. */
  *candidates(): Iterable<WorkerSession> {
    if (this.#draining) return;
    for (const session of this.#sessions) if (session.takesWork) yield session;
  }

  /** Connected processes. */
  get sessions(): Iterable<WorkerSession> {
    return this.#sessions;
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
    this.#sessions.checkFree(hello.incarnation, hello.workerId);
    const now = this.#clock();
    const epoch = await this.#names.take(hello, now);
    const session = new WorkerSession(hello, epoch, now);
    this.#sessions.put(session);
    this.#leases.hear(hello.incarnation, performance.now());
    this.#background.track(this.#forgetOldest(), (error) =>
      this.#logger.error({ err: error }, "an old worker's name could not be forgotten; the next new name tries again"),
    );
    try {
      await this.#attempts.reconcile(session, hello.attempts);
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
    if (!this.#sessions.remove(session)) return;
    this.#typesVersion++;
    this.#dispatch?.wake();
    this.#logger.info({ worker: session.workerId }, "worker disconnected");
  }

  /** The session of a process that may push lines. Throws Refused if it is not connected. */
  sessionOf(incarnation: string): WorkerSession {
    const session = this.#sessions.ofIncarnation(incarnation);
    if (!session) throw new Refused("unavailable", "This process is not connected: open the Connect stream first.");
    return session;
  }

  /** A sign of life. */
  heard(session: WorkerSession): void {
    if (!this.#sessions.isCurrent(session)) return;
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
    this.#attempts.heard(session);
  }

  /** Folds what the worker measured of its attempts. */
  vitals(session: WorkerSession, report: VitalsReport): void {
    this.#attempts.vitals(session, report);
  }

  /** Folds the worker's word on an attempt. Throws Refused. */
  async report(session: WorkerSession, report: AttemptReport): Promise<void> {
    await this.#attempts.report(session, report);
  }

  /** Looks at leases, and tells who has become silent or is lost. Call it about every second, however long the store takes. */
  look(): void {
    for (const { holder, state } of this.#leases.look(performance.now())) {
      if (state === "lost") {
        this.#leases.forget(holder);
        this.#sessions
          .ofIncarnation(holder)
          ?.end(new Refused("unavailable", "No sign of life for the length of the lease."));
      }
      for (const job of this.#jobs.live()) {
        const attempt = openAttempt(job.record);
        if (attempt?.incarnation !== holder) continue;
        if (state === "silent") this.#attempts.silent(job);
        else
          this.#background.track(
            this.#attempts.lose(
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
    await this.#background.settle();
  }

  async #forgetOldest(): Promise<void> {
    const busy = [...this.#jobs.live()].map((job) => openAttempt(job.record)?.workerId);
    await this.#names.forgetOldest(new Set([...this.#sessions.names(), ...busy]));
  }

  #afterEntry(job: Job, before: JobRecord | undefined): void {
    const was = before && openAttempt(before);
    if (was?.number !== openAttempt(job.record)?.number || hasEnded(job.record)) this.#typesVersion++;
  }
}

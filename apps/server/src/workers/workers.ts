import type {
  Actor,
  AttemptReport,
  Hello,
  JobRecord,
  JobType,
  PushLogsOpen,
  VitalsReport,
  WorkerHeartbeat,
  WorkerRecord,
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
import { Drains } from "./drains.ts";
import { Forgetting } from "./forgetting.ts";
import { figuresOf, sameFigures } from "./link-figures.ts";
import { LeaseClock, leaseMs, silentAfterMs } from "./lease-clock.ts";
import type { LogIngest } from "./log-ingest.ts";
import { offeredTypes, type Offered } from "./offered-types.ts";
import { Sessions } from "./sessions.ts";
import { isConnected } from "./spool-streams.ts";
import { WorkerBoard } from "./worker-board.ts";
import { WorkerNames } from "./worker-names.ts";
import { EncodedRecords, workerRecord } from "./worker-record.ts";
import { WorkerSession } from "./worker-session.ts";
import { checkReport } from "./worker-words.ts";

interface Parts {
  readonly store: Store;
  readonly jobs: Jobs;
  readonly logs: Logs;
  readonly ingest: LogIngest;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Milliseconds that only rise: what leases are measured on. */
  readonly monotonic?: () => number;
}

/** The workers: who is connected, what they offer, the leases of their names, and what operators see of them. */
export class Workers {
  readonly ingest: LogIngest;
  /** How workers are heard and what they run. */
  readonly board: WorkerBoard;
  /** Stored records in the form in which they travel. */
  readonly encodedRecords = new EncodedRecords();
  readonly #jobs: Jobs;
  readonly #names: WorkerNames;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #monotonic: () => number;
  readonly #sessions = new Sessions();
  readonly #leases: LeaseClock;
  readonly #background = new Background();
  readonly #attempts: Attempts;
  readonly #drains: Drains;
  readonly #forgetting: Forgetting;
  #dispatch: Dispatch | undefined;
  #typesVersion = 1;
  #offered: Offered | undefined;
  #stopping = false;
  /** Names that were connected when the server before this one stopped, until they are back or have had the time of a lease. */
  readonly #awaited = new Set<string>();
  readonly #awaitedUntilMs: number;

  private constructor(parts: Parts, names: WorkerNames) {
    const { jobs, logs, ingest, logger, clock = systemClock, monotonic = () => performance.now() } = parts;
    this.#names = names;
    this.#jobs = jobs;
    this.ingest = ingest;
    this.#logger = logger;
    this.#clock = clock;
    this.#monotonic = monotonic;
    this.#leases = new LeaseClock(monotonic());
    this.#awaitedUntilMs = monotonic() + leaseMs;
    this.board = new WorkerBoard((workerId) => jobs.attemptsOf(workerId), monotonic);
    const shared = {
      ...{ jobs, logger, clock, monotonic, names, sessions: this.#sessions, leases: this.#leases, board: this.board },
      background: this.#background,
    };
    this.#attempts = new Attempts({ ...shared, logs, ingest, onSealed: () => this.#dispatch?.wake() });
    this.#drains = new Drains({ ...shared, onChange: () => this.#changed() });
    this.#forgetting = new Forgetting(shared);
    jobs.onEntry((job, before) => this.#afterEntry(job, before));
  }

  /**
   * Reads what is known of workers. Every worker with an open attempt gets a full lease, and so does every transient one, since the
   * server has just begun to listen. Logs whose attempt has ended but that were not sealed when the server stopped are sealed now.
   */
  static async open(parts: Parts): Promise<Workers> {
    const workers = new Workers(parts, await WorkerNames.open(parts.store));
    await workers.#restore(parts);
    return workers;
  }

  async #restore({ store }: Parts): Promise<void> {
    for (const job of this.#jobs.live()) {
      const attempt = openAttempt(job.record);
      if (attempt) {
        if (attempt.lostAtUs === 0n) this.#leases.hear(attempt.incarnation, this.#monotonic());
        this.board.restore(attempt.workerId, attempt.lostAtUs !== 0n);
      }
      this.#forgetting.endIfOrphan(job);
    }
    for (const [workerId, { hello, incarnation, leftAtUs }] of this.#names.all()) {
      if (leftAtUs === 0n) this.#awaited.add(workerId);
      if (!hello?.transient) continue;
      if (leftAtUs === 0n) this.#leases.hear(incarnation, this.#monotonic());
      this.#forgetting.forgetIfGone(workerId);
    }
    await this.#attempts.restore(await store.journal.topics("log/"));
  }

  /** Who is told when a worker comes, goes or has a free slot. */
  set dispatch(dispatch: Dispatch) {
    this.#dispatch = dispatch;
  }

  /** Connected processes, those too that get no work; none while the server stops. */
  *candidates(): Iterable<WorkerSession> {
    if (!this.#stopping) yield* this.#sessions;
  }

  /** Connected processes. */
  get sessions(): Iterable<WorkerSession> {
    return this.#sessions;
  }

  /** Whether a process of that name is connected. */
  isConnected(workerId: string): boolean {
    return this.#sessions.get(workerId) !== undefined;
  }

  /** Whether a process of that name is connected, or was when the server before this one stopped and has had no time to come back. */
  isThere(workerId: string): boolean {
    return this.isConnected(workerId) || this.#awaited.has(workerId);
  }

  /** Whether a worker of that name has connected and is not forgotten. */
  isKnown(workerId: string): boolean {
    return this.#names.get(workerId) !== undefined;
  }

  /** The job type as the newest worker described it, whether or not one is connected; undefined if none that is known offered it. */
  jobType(name: string): JobType | undefined {
    return this.#names.jobType(name);
  }

  /** All job types that known workers offer or offered. */
  jobTypes(): Iterable<JobType> {
    return this.#names.jobTypes();
  }

  /** Rises when the offered types, workers or slots change. */
  get typesVersion(): number {
    return this.#typesVersion;
  }

  /** What connected workers offer. */
  get offered(): Offered {
    if (this.#offered?.version === this.#typesVersion) return this.#offered;
    const used = (session: WorkerSession) =>
      this.#jobs
        .attemptsOf(session.workerId)
        .filter((job) => openAttempt(job.record)?.incarnation === session.incarnation).length;
    return (this.#offered = offeredTypes(this.#typesVersion, this.candidates(), used, (name) => this.jobType(name)));
  }

  /** The newest revision of the table of workers. */
  get revision(): number {
    return this.#names.revision;
  }

  /** All workers that are known, by rising name. */
  records(): WorkerRecord[] {
    const known = [...this.#names.all()].sort(([a], [b]) => (a < b ? -1 : 1));
    return known.map(([workerId, lease]) => workerRecord(workerId, lease));
  }

  /**
   * Takes a worker's hello: the name is this process's from now on, its attempts go on, and those of another process under the name are
   * lost. Throws Refused.
   */
  async connect(hello: Hello): Promise<WorkerSession> {
    checkHello(hello);
    hello.attempts.forEach(checkReport);
    if (this.#stopping) throw new Refused("unavailable", "The server is stopping. Connect again in a moment.");
    this.#sessions.checkFree(hello.incarnation, hello.workerId);
    const now = this.#clock();
    const epoch = await this.#names.take(hello, now);
    if (!this.#names.holds(hello.workerId, hello.incarnation))
      throw new Refused("unavailable", "Another process took the name over at this moment.");
    const session = new WorkerSession(hello, epoch, now);
    this.#drains.apply(session);
    this.#sessions.put(session);
    this.#awaited.delete(hello.workerId);
    this.ingest.connected(hello.incarnation);
    this.#leases.hear(hello.incarnation, this.#monotonic());
    this.board.connect(session, this.#clock());
    this.#forgetting.forgetOldest();
    try {
      await this.#attempts.reconcile(session, hello.attempts);
    } catch (error) {
      this.disconnect(session);
      throw error;
    }
    this.#changed();
    this.#logger.info(
      { worker: hello.workerId, agent: hello.agent, slots: hello.slots, attempts: hello.attempts.length },
      "worker connected",
    );
    return session;
  }

  /** The stream of a session ended. */
  disconnect(session: WorkerSession): void {
    session.end();
    const { workerId, incarnation, leaving } = session;
    if (!this.#sessions.remove(session)) return;
    this.board.disconnect(workerId, leaving);
    if (leaving) {
      // With nothing to wait for there is no lease to run out.
      if (this.#jobs.attemptsOf(workerId).length === 0) this.#leases.forget(incarnation);
      this.#drains.forget(incarnation);
      this.#background.track(this.#names.left(workerId, this.#clock()), (error) =>
        this.#logger.error({ err: error, worker: workerId }, "that a worker left could not be stored"),
      );
    }
    this.#forgetting.forgetIfGone(workerId);
    this.#changed();
    this.#logger.info({ worker: workerId }, leaving ? "worker left" : "worker disconnected");
  }

  /** The session of a process that pushes lines; none for what it left in its spool. Throws Refused if it is not connected, or is and should not be. */
  sessionOf({ incarnation, spooled }: PushLogsOpen): WorkerSession | undefined {
    const session = this.#sessions.ofIncarnation(incarnation);
    if (spooled && session) throw isConnected(incarnation);
    if (!spooled && !session)
      throw new Refused("unavailable", "This process is not connected: open the Connect stream first.");
    return session;
  }

  /** A sign of life. */
  heard(session: WorkerSession): void {
    if (!this.#sessions.isCurrent(session)) return;
    this.#leases.hear(session.incarnation, this.#monotonic());
    this.board.heard(session.workerId, this.#clock());
  }

  /** The worker takes no more assignments. */
  leaving(session: WorkerSession): void {
    session.leaving = true;
    this.#changed();
  }

  /** Folds a heartbeat. */
  heartbeat(session: WorkerSession, heartbeat: WorkerHeartbeat): void {
    if (!this.#sessions.isCurrent(session)) return;
    const now = this.#clock();
    if (heartbeat.echoServerTimeUs !== 0n)
      session.measure(Number(heartbeat.echoServerTimeUs), Number(heartbeat.workerTimeUs), now);
    const figures = figuresOf(heartbeat);
    if (!sameFigures(session.figures, figures)) session.figures = figures;
    this.board.measure(session);
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

  /**
   * Gives a worker no more work, whichever process has its name, until {@link undrain}. May be repeated. Resolves with its record when
   * that is durable. Throws Refused.
   */
  async drain(workerId: string, reason: string, actor: Actor): Promise<WorkerRecord> {
    await this.#drains.drain(workerId, reason, actor);
    return this.#record(workerId);
  }

  /** Lets a worker have work again. May be repeated. Resolves with its record when that is durable. Throws Refused. */
  async undrain(workerId: string): Promise<WorkerRecord> {
    await this.#drains.undrain(workerId);
    return this.#record(workerId);
  }

  /** Asks a worker to release what it runs and exit; it gets no more work. Returns its record. Throws Refused. */
  stop(workerId: string, reason: string): WorkerRecord {
    this.#drains.stop(workerId, reason);
    return this.#record(workerId);
  }

  /** Looks at leases, and tells who has become silent or is lost. Call it about every second, however long the store takes. */
  look(): void {
    if (this.#monotonic() >= this.#awaitedUntilMs) this.#awaited.clear();
    for (const { holder, state } of this.#leases.look(this.#monotonic())) {
      const workerId = this.#nameOf(holder);
      if (workerId !== undefined) this.board.unheard(workerId, state);
      if (state === "lost") {
        this.#leases.forget(holder);
        this.#drains.forget(holder);
        const session = this.#sessions.ofIncarnation(holder);
        session?.end(new Refused("unavailable", "No sign of life for the length of the lease."));
        if (workerId !== undefined) this.#forgetting.forgetIfGone(workerId);
      }
      for (const job of this.#jobs.live()) {
        if (openAttempt(job.record)?.incarnation !== holder) continue;
        if (state === "silent") this.#attempts.silent(job);
        else this.#lose(job, holder);
      }
    }
    this.board.beat();
  }

  /** Takes no more hellos and assigns nothing more. */
  beginDrain(): void {
    this.#stopping = true;
  }

  /** Resolves when nothing is being stored any more on this object's own account. */
  async settle(): Promise<void> {
    await this.#background.settle();
  }

  #lose(job: Job, holder: string): void {
    const workerId = openAttempt(job.record)?.workerId ?? "";
    const reason = `worker ${workerId} has been silent for ${leaseMs / 1000} s; its lease ran out`;
    // Not stored: the lease runs out once more.
    this.#background.track(this.#attempts.lose(job, holder, reason), (error) => {
      this.#logger.error({ err: error, job: job.id }, "a lost attempt could not be stored; it is tried again");
      if (!this.#leases.watches(holder)) this.#leases.hear(holder, this.#monotonic() - silentAfterMs);
    });
  }

  /** The name that a process holds. */
  #nameOf(incarnation: string): string | undefined {
    const session = this.#sessions.ofIncarnation(incarnation);
    if (session) return session.workerId;
    for (const [workerId, lease] of this.#names.all()) if (lease.incarnation === incarnation) return workerId;
    return undefined;
  }

  #record(workerId: string): WorkerRecord {
    return workerRecord(workerId, this.#names.check(workerId));
  }

  /** Who works, or what they offer, has changed. */
  #changed(): void {
    this.#typesVersion++;
    this.#dispatch?.wake();
  }

  #afterEntry(job: Job, before: JobRecord | undefined): void {
    const was = before && openAttempt(before);
    const open = openAttempt(job.record);
    if (was?.number !== open?.number || hasEnded(job.record)) this.#typesVersion++;
    if (was && was.workerId !== open?.workerId) {
      this.board.attemptsChanged(was.workerId);
      this.#forgetting.forgetIfGone(was.workerId);
    }
    if (open && (was?.number !== open.number || before?.state !== job.record.state))
      this.board.attemptsChanged(open.workerId);
    this.#forgetting.endIfOrphan(job);
  }
}

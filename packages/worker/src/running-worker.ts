import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  AttemptSpecSchema,
  EndOutcome,
  HelloSchema,
  type AttemptEnd,
  type AttemptSpec,
  type Hello,
  type Input,
  type Welcome,
} from "@signalbox/protocol";
import { attemptKey } from "./attempt-key.ts";
import { Attempt, type AttemptHost } from "./attempt.ts";
import { Bell } from "./bell.ts";
import { systemClock } from "./clock.ts";
import type { ConnectConfig } from "./config.ts";
import type { Connection, ConnectionHandlers } from "./connection.ts";
import { messageOf } from "./errors.ts";
import { jobTypeOf } from "./job-type.ts";
import { Lease } from "./lease.ts";
import type { JobDefinition } from "./job.ts";
import { LineBudget } from "./line-budget.ts";
import { LinkKeeper } from "./link-keeper.ts";
import type { WorkerState } from "./link-state.ts";
import { LocalStarts } from "./local-starts.ts";
import { Outbox } from "./outbox.ts";
import { pushLogs } from "./push-logs.ts";
import { maskedStart } from "./redaction/masked-start.ts";
import type { Redaction } from "./redaction/redact-options.ts";
import { endReporter, Reporters } from "./reporters.ts";
import type { HeldLines } from "./spool/line-queue.ts";
import { readSpoolConfig } from "./spool/spool-config.ts";
import { WorkerSpool } from "./spool/worker-spool.ts";
import type { StartedHere, StartHereOptions, Worker, WorkerOptions } from "./worker.ts";

const agent = "signalbox-node/0.1.0";
const vitalsEveryMs = 250;
const lookAgainMs = 500;

/** What only some workers have. */
export interface RunningWorkerOptions {
  /** Of a process that is gone, in whose name this worker delivers what it left. Default: random. */
  readonly incarnation?: string;
  /** A link is there. */
  readonly onWelcome?: (connection: Connection, storeId: string) => void;
}

/** What a process that is gone has left of an attempt. */
export interface LeftWork {
  /** How the job is asked for. */
  readonly start: StartHereOptions;
  /** The attempt, if the server knows it. */
  readonly known: { readonly jobId: string; readonly attempt: number } | undefined;
  readonly held: HeldLines;
  readonly spool: Pick<WorkerSpool, "attempt" | "config">;
  readonly end: AttemptEnd;
}

/** A worker at work: keeps the link, starts what it is told to or what its own process starts, and delivers what comes of it. */
export class RunningWorker implements Worker {
  readonly incarnation: string;
  readonly closed: Promise<void>;
  readonly #options: WorkerOptions;
  readonly #config: ConnectConfig;
  readonly #redaction: Redaction;
  readonly #onWelcome: RunningWorkerOptions["onWelcome"];
  readonly #budget: LineBudget;
  /** Undefined: lines are in memory only. */
  readonly #spool: WorkerSpool | undefined;
  readonly #outbox = new Outbox();
  readonly #reporters = new Reporters();
  readonly #localStarts: LocalStarts;
  /** Rings when something that `stop` waits for may have gone. */
  readonly #changed = new Bell();
  readonly #link: LinkKeeper;
  readonly #lease = new Lease(
    () => systemClock.monotonicMs(),
    (silentMs) => this.#leaseOver(silentMs),
  );
  #stopping: Promise<void> | undefined;
  #storeId: string | undefined;
  #resolveClosed: () => void = () => undefined;

  constructor(options: WorkerOptions, config: ConnectConfig, redaction: Redaction, more: RunningWorkerOptions = {}) {
    this.incarnation = more.incarnation ?? randomUUID();
    this.#onWelcome = more.onWelcome;
    this.#options = options;
    this.#config = config;
    this.#redaction = redaction;
    const spool = readSpoolConfig(options.spool);
    this.#budget = new LineBudget({
      ...(options.bufferBytes === undefined ? {} : { boundBytes: options.bufferBytes }),
      ...(spool ? { spoolBytes: spool.bytes, drops: spool.whenFull !== "wait" } : {}),
    });
    if (spool) {
      const { workerId, urls } = config;
      const writer = { workerId, urls, incarnation: this.incarnation, transient: options.transient ?? false };
      this.#spool = new WorkerSpool(spool, writer, {
        notice: (message) => this.notice(message),
        broken: (isBroken) => (this.#budget.isSpoolBroken = isBroken),
      });
    }
    this.#localStarts = new LocalStarts({
      workerId: config.workerId,
      bind: (attempt, spec) => this.#bind(attempt, spec),
      decline: (spec) => this.#decline(spec, `jobs of type ${spec.type} are started by the worker itself`),
      notice: (message) => this.notice(message),
      changed: () => {
        this.#sayLeaving();
        this.#changed.ring();
      },
    });
    this.#link = new LinkKeeper(
      config,
      { ...options, onLink: options.onLink ?? ((sentence) => this.notice(sentence)) },
      {
        outbox: this.#outbox,
        handlers: this.#handlers(),
        hello: () => this.#hello(),
        replaced: (reason) => {
          this.notice(`this worker closes: ${reason}`);
          this.#abandon(reason);
        },
      },
    );
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  get id(): string {
    return this.#config.workerId;
  }

  get state(): WorkerState {
    return this.#link.state;
  }

  get running(): number {
    return this.#attempts.filter((attempt) => !attempt.hasSettled).length;
  }

  /** Everything that runs or waits to be delivered, known to the server or not. */
  get #attempts(): Attempt[] {
    return [...this.#reporters.attempts, ...this.#localStarts.waiting, ...this.#localStarts.alone];
  }

  get bufferedBytes(): number {
    return this.#budget.bytes;
  }

  begin(): void {
    for (const notice of this.#redaction.notices) this.notice(notice);
    void this.#link.run().then(async () => {
      this.#lease.stop();
      await this.#spool?.close();
      this.#resolveClosed();
    });
  }

  startHere(type: string, options: StartHereOptions = {}): StartedHere {
    const definition = this.#options.jobs.find((job) => job.type === type);
    if (!definition?.pinned) throw new TypeError(`this worker has no pinned job type ${JSON.stringify(type)}`);
    if (this.state.kind === "draining" || this.state.kind === "closed") throw new Error("the worker stops");
    const shown = maskedStart(options, this.#redaction.redactor);
    const { name = type, labels = {}, parameters = {} } = shown;
    const beginning = { name, labels, parameters: structuredClone(parameters) };
    const attempt = new Attempt(beginning, definition, this.#attemptHost());
    return this.#localStarts.begin(type, shown, attempt, this.#link.open);
  }

  /**
   * Delivers what is left of an attempt of the process in whose name this worker is: its lines, and its end. The server is asked for the
   * job, or knows it already. Resolves when it has everything; rejects if it never will.
   */
  async deliverLeft(definition: JobDefinition<never>, { start, known, held, spool, end }: LeftWork): Promise<void> {
    const { name = definition.type } = start;
    const attempt = new Attempt({ name, labels: {}, held }, definition, { ...this.#attemptHost(), spool });
    attempt.finish(end);
    if (!known) return this.#localStarts.begin(definition.type, start, attempt, this.#link.open).ended;
    this.#bind(attempt, create(AttemptSpecSchema, known));
    while (this.#reporters.get(attempt.key) === attempt && this.state.kind !== "closed")
      await this.#changed.wait({ ms: lookAgainMs });
    if (!this.#reporters.isOver(attempt.key)) throw new Error("the worker was closed before");
  }

  stop(reason = "the worker stops"): Promise<void> {
    this.#stopping ??= this.#stop(reason);
    return this.#stopping;
  }

  async #stop(reason: string): Promise<void> {
    const { stopGraceMs = 5000, stopTimeoutMs = 15_000 } = this.#options;
    this.#link.drain(reason);
    this.#sayLeaving();
    for (const attempt of this.#attempts) attempt.release(stopGraceMs, reason);
    const deadlineMs = systemClock.monotonicMs() + stopTimeoutMs;
    for (;;) {
      const leftMs = deadlineMs - systemClock.monotonicMs();
      const { waiting, alone } = this.#localStarts;
      const isDone = this.#reporters.isEmpty && waiting.length === 0 && alone.length === 0;
      if (isDone || leftMs <= 0) break;
      await this.#changed.wait({ ms: leftMs });
    }
    this.#abandon("stopped before the server had its end");
    await this.#link.close();
    await this.closed;
  }

  /** Stops what runs, and forgets it although the server does not know its end. */
  #abandon(reason: string): void {
    for (const [key, reporter] of this.#reporters.drain()) {
      this.notice(`${key}: ${reason}`);
      if (reporter instanceof Attempt) reporter.abandon(reason);
    }
    for (const attempt of this.#localStarts.abandon(reason)) {
      this.notice(`a job that the server does not know: ${reason}`);
      attempt.abandon(reason);
    }
    this.#changed.ring();
  }

  /** Others may soon run what ran here: what must not run twice stops. */
  #leaseOver(silentMs: number): void {
    const reason = `the server was not heard for ${Math.floor(silentMs / 1000)} s, and the job is exclusive`;
    for (const attempt of this.#reporters.attempts) attempt.loseLease(reason);
  }

  /** Says that the worker leaves, once the server has assigned what was started here: it assigns nothing to one that leaves. */
  #sayLeaving(): void {
    const { state } = this;
    if (state.kind === "draining" && this.#localStarts.waiting.length === 0) this.#outbox.leaving(state.reason);
  }

  /** Says everything, so what waits to be said is said. */
  #hello(): Hello {
    const { jobs, slots = 4, labels = {}, transient = false } = this.#options;
    this.#outbox.clear();
    this.#reporters.forgetVitals();
    return create(HelloSchema, {
      workerId: this.id,
      incarnation: this.incarnation,
      agent,
      jobTypes: jobs.map((job) => jobTypeOf(job)),
      slots,
      labels: { ...labels },
      metadata: this.#config.metadata,
      attempts: this.#reporters.reports(),
      workerTimeUs: BigInt(systemClock.wallUs()),
      transient,
    });
  }

  #handlers(): ConnectionHandlers {
    return {
      heard: () => this.#lease.heard(),
      now: () => ({
        nowUs: systemClock.wallUs(),
        bufferedBytes: this.#budget.bytes,
        spoolBytes: this.#budget.spoolBytes,
        spoolLimitBytes: this.#budget.spoolLimitBytes,
        ...this.#link.history,
      }),
      welcomed: (welcome, connection) => this.#welcomed(welcome, connection),
      received: (message) => {
        switch (message.case) {
          case "spec":
            this.#receiveSpec(message.value);
            return;
          case "input":
            this.#receiveInput(message.value);
            return;
          case "endAccepted": {
            const key = attemptKey(message.value);
            this.#localStarts.ended(key);
            this.#forget(key);
            return;
          }
          case "fenced":
            this.#fence(attemptKey(message.value), message.value.reason);
            return;
          case "drain":
            // Without `stop` there is nothing to do: the server assigns no more.
            if (message.value.stop) void this.stop(message.value.reason || "the server asked the worker to stop");
            return;
        }
      },
    };
  }

  #welcomed(welcome: Welcome, connection: Connection): void {
    if (this.#storeId !== undefined && this.#storeId !== welcome.storeId) {
      this.notice("the server has another store than before: it does not know the attempts of the old one");
      // Others are fenced by the server, for they may run elsewhere; what was started here can not.
      for (const key of this.#localStarts.otherStore()) {
        this.notice(`${key} goes on, and its lines are dropped`);
        this.#forget(key);
      }
    }
    this.#storeId = welcome.storeId;
    this.#lease.begin(welcome.leaseMs);
    this.#link.welcomed(connection);
    this.#sayLeaving();
    for (const attempt of this.#reporters.attempts) {
      this.#outbox.inputTaken(attempt);
      this.#push(attempt, connection);
    }
    this.#localStarts.welcomed(connection);
    this.#onWelcome?.(connection, welcome.storeId);
    const vitalsTimer = setInterval(() => this.#sendVitals(this.#reporters.attempts), vitalsEveryMs);
    connection.signal.addEventListener("abort", () => clearInterval(vitalsTimer), { once: true });
  }

  #receiveSpec(spec: AttemptSpec): void {
    const key = attemptKey(spec);
    const known = this.#reporters.get(key);
    if (known instanceof Attempt) known.receive(spec);
    if (known || this.#reporters.isOver(key)) return;
    const definition = this.#options.jobs.find(({ type }) => type === spec.type);
    const { slots = 4 } = this.#options;
    if (definition?.pinned) this.#localStarts.claim(spec);
    else if (this.state.kind === "draining") this.#decline(spec, "the worker stops");
    else if (!definition) this.#decline(spec, `this worker offers no job type ${spec.type}`);
    else if (this.running >= slots) this.#decline(spec, `all ${slots} slots of this worker are taken`);
    else {
      const attempt = new Attempt(spec, definition, this.#attemptHost());
      this.#bind(attempt, spec);
      attempt.start();
    }
  }

  #bind(attempt: Attempt, spec: AttemptSpec): void {
    attempt.bind(spec);
    const { jobId, attempt: number } = spec;
    attempt.describe({ jobId, attempt: number, storeId: this.#storeId ?? "", request: "" });
    this.#reporters.set(attempt.key, attempt);
    this.#sendVitals([attempt]);
    this.#outbox.report(attempt);
    this.#outbox.inputTaken(attempt);
    const { connection } = this.#link;
    if (connection) this.#push(attempt, connection);
  }

  #attemptHost(): AttemptHost {
    const isOurs = (attempt: Attempt) => this.#reporters.get(attempt.key) === attempt;
    return {
      clock: systemClock,
      budget: this.#budget,
      redactor: this.#redaction.redactor,
      spool: this.#spool,
      onChange: (attempt) => {
        if (!isOurs(attempt)) return;
        this.#sendVitals([attempt]);
        this.#outbox.report(attempt);
      },
      checkLease: () => this.#lease.check(),
      onInputTaken: (attempt) => {
        if (isOurs(attempt)) this.#outbox.inputTaken(attempt);
      },
    };
  }

  #receiveInput(input: Input): void {
    const reporter = this.#reporters.get(attemptKey(input));
    if (reporter instanceof Attempt) reporter.receiveInput(input);
  }

  #fence(key: string, reason: string): void {
    const reporter = this.#reporters.get(key);
    if (!reporter || (reporter instanceof Attempt && reporter.isFenced)) return;
    this.notice(`${key} is not ours any more: ${reason}`);
    this.#localStarts.lost(key, reason);
    // What is left of an attempt is evidence: it is told until its end is accepted.
    if (reporter instanceof Attempt) reporter.fence(reason);
    else this.#forget(key);
  }

  #decline(spec: AttemptSpec, reason: string): void {
    const { jobId, attempt } = spec;
    const end = { jobId, attempt, outcome: EndOutcome.DECLINED, reason };
    const reporter = endReporter(end, spec.spec?.generation ?? 0n);
    this.#reporters.set(attemptKey(spec), reporter);
    this.#outbox.report(reporter);
  }

  #forget(key: string): void {
    this.#reporters.forget(key);
    this.#changed.ring();
  }

  #push(attempt: Attempt, connection: Connection): void {
    const { client, wire, signal } = connection;
    pushLogs({
      log: attempt.log,
      jobId: attempt.jobId,
      attempt: attempt.number,
      incarnation: this.incarnation,
      endsWhenRefused: () => attempt.isFenced,
      client,
      wire,
      signal,
      notice: (message) => this.notice(`${attempt.key}: ${message}`),
    })
      .then((refusal) => {
        if (refusal === undefined) return;
        this.notice(`${attempt.key}: what was not delivered of it is not taken any more: ${refusal}`);
        attempt.abandon(refusal);
        this.#forget(attempt.key);
      })
      .catch((error: unknown) => {
        const reason = messageOf(error);
        this.notice(`${attempt.key} is given up: ${reason}`);
        attempt.discard(reason);
        this.#localStarts.lost(attempt.key, reason);
        // The server still waits for this attempt: it must hear that nothing will come.
        const { jobId, number } = attempt;
        const failed = endReporter({ jobId, attempt: number, outcome: EndOutcome.FAILED, reason });
        this.#reporters.set(attempt.key, failed);
        this.#outbox.report(failed);
      });
  }

  #sendVitals(attempts: readonly Attempt[]): void {
    this.#outbox.vitals(this.#reporters.takeNewVitals(attempts));
  }

  /** Says something that the worker's owner should know. */
  notice(message: string): void {
    if (this.#options.onNotice) this.#options.onNotice(message);
    else process.stderr.write(`signalbox worker ${this.id}: ${message}\n`);
  }
}

import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  AttemptSpecSchema,
  HelloSchema,
  type AttemptEnd,
  type AttemptSpec,
  type Hello,
  type Welcome,
} from "@signalbox/protocol";
import { attemptKey } from "./attempt-key.ts";
import { Attempt } from "./attempt.ts";
import { Bell } from "./bell.ts";
import { systemClock } from "./clock.ts";
import type { ConnectConfig } from "./config.ts";
import type { Connection, ConnectionHandlers } from "./connection.ts";
import { jobTypeOf } from "./job-type.ts";
import type { JobDefinition } from "./job.ts";
import { LineBudget } from "./line-budget.ts";
import { LinkKeeper } from "./link-keeper.ts";
import type { WorkerState } from "./link-state.ts";
import { LocalStarts } from "./local-starts.ts";
import { Outbox } from "./outbox.ts";
import { maskedStart } from "./redaction/masked-start.ts";
import type { Redaction } from "./redaction/redact-options.ts";
import type { HeldLines } from "./spool/line-queue.ts";
import { readSpoolConfig } from "./spool/spool-config.ts";
import { WorkerSpool } from "./spool/worker-spool.ts";
import { Work } from "./work.ts";
import type { StartedHere, StartHereOptions, Worker, WorkerOptions } from "./worker.ts";

const agent = "signalbox-node/0.1.0";
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
  /** When it began, worker clock, microseconds since the Unix epoch; 0: nobody knows. */
  readonly beganAtUs: number;
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
  readonly #work: Work;
  readonly #localStarts: LocalStarts;
  /** Rings when something that `stop` waits for may have gone. */
  readonly #changed = new Bell();
  readonly #link: LinkKeeper;
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
    this.#work = new Work({
      incarnation: this.incarnation,
      outbox: this.#outbox,
      budget: this.#budget,
      spool: this.#spool,
      redactor: redaction.redactor,
      connection: () => this.#link.connection,
      notice: (message) => this.notice(message),
      lost: (key, reason) => this.#localStarts.lost(key, reason),
      forgotten: () => this.#changed.ring(),
    });
    this.#localStarts = new LocalStarts({
      workerId: config.workerId,
      bind: (attempt, spec) => this.#work.bind(attempt, spec),
      decline: (spec) => this.#work.decline(spec, `jobs of type ${spec.type} are started by the worker itself`),
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
    return [...this.#work.attempts, ...this.#localStarts.waiting, ...this.#localStarts.alone];
  }

  get bufferedBytes(): number {
    return this.#budget.bytes;
  }

  get droppedLines(): number {
    return this.#spool?.droppedLines ?? 0;
  }

  get spooledBytes(): number {
    return this.#budget.spoolBytes;
  }

  begin(): void {
    for (const notice of this.#redaction.notices) this.notice(notice);
    void this.#link.run().then(async () => {
      this.#work.close();
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
    const attempt = new Attempt(beginning, definition, this.#work.host);
    return this.#localStarts.begin(type, shown, attempt, this.#link.open);
  }

  /**
   * Delivers what is left of an attempt of the process in whose name this worker is: its lines, and its end. The server is asked for the
   * job, or knows it already. Resolves when it has everything; rejects if it never will.
   */
  async deliverLeft(definition: JobDefinition<never>, left: LeftWork): Promise<void> {
    const { start, known, held, spool, end, beganAtUs } = left;
    const { name = definition.type } = start;
    const attempt = new Attempt({ name, labels: {}, held }, definition, { ...this.#work.host, spool });
    attempt.finish(end, beganAtUs);
    if (!known) return this.#localStarts.begin(definition.type, start, attempt, this.#link.open).ended;
    this.#work.bind(attempt, create(AttemptSpecSchema, known));
    while (this.#work.has(attempt) && this.state.kind !== "closed") await this.#changed.wait({ ms: lookAgainMs });
    if (!this.#work.isOver(attempt.key)) throw new Error("the worker was closed before");
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
      const isDone = this.#work.isEmpty && waiting.length === 0 && alone.length === 0;
      if (isDone || leftMs <= 0) break;
      await this.#changed.wait({ ms: leftMs });
    }
    this.#abandon("stopped before the server had its end");
    await this.#link.close();
    await this.closed;
  }

  /** Stops what runs, and forgets it although the server does not know its end. */
  #abandon(reason: string): void {
    this.#work.abandon(reason);
    for (const attempt of this.#localStarts.abandon(reason)) {
      this.notice(`a job that the server does not know: ${reason}`);
      attempt.abandon(reason);
    }
    this.#changed.ring();
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
    const attempts = this.#work.beginLink();
    return create(HelloSchema, {
      workerId: this.id,
      incarnation: this.incarnation,
      agent,
      jobTypes: jobs.map((job) => jobTypeOf(job)),
      slots,
      labels: { ...labels },
      metadata: this.#config.metadata,
      attempts,
      workerTimeUs: BigInt(systemClock.wallUs()),
      transient,
    });
  }

  #handlers(): ConnectionHandlers {
    return {
      heard: () => this.#work.lease.heard(),
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
            this.#work.receiveInput(message.value);
            return;
          case "endAccepted": {
            const key = attemptKey(message.value);
            this.#localStarts.ended(key);
            this.#work.forget(key);
            return;
          }
          case "fenced":
            this.#work.fence(attemptKey(message.value), message.value.reason);
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
        this.#work.forget(key);
      }
    }
    this.#storeId = welcome.storeId;
    this.#link.welcomed(connection);
    this.#sayLeaving();
    this.#work.welcomed(welcome, connection);
    this.#localStarts.welcomed(connection);
    this.#onWelcome?.(connection, welcome.storeId);
  }

  #receiveSpec(spec: AttemptSpec): void {
    if (this.#work.receive(spec)) return;
    const definition = this.#options.jobs.find(({ type }) => type === spec.type);
    const { slots = 4 } = this.#options;
    if (definition?.pinned) this.#localStarts.claim(spec);
    else if (this.state.kind === "draining") this.#work.decline(spec, "the worker stops");
    else if (!definition) this.#work.decline(spec, `this worker offers no job type ${spec.type}`);
    else if (this.running >= slots) this.#work.decline(spec, `all ${slots} slots of this worker are taken`);
    else this.#work.start(spec, definition);
  }

  /** Says something that the worker's owner should know. */
  notice(message: string): void {
    if (this.#options.onNotice) this.#options.onNotice(message);
    else process.stderr.write(`signalbox worker ${this.id}: ${message}\n`);
  }
}

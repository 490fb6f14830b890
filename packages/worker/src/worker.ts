import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  AttemptReportSchema,
  AttemptVitalsSchema,
  EndOutcome,
  HelloSchema,
  JobTypeSchema,
  type AttemptReport,
  type AttemptSpec,
  type AttemptVitals,
  type Hello,
  type Welcome,
} from "@signalbox/protocol";
import { equals } from "@bufbuild/protobuf";
import { Attempt } from "./attempt.ts";
import { attemptKey } from "./attempt-key.ts";
import { Bell } from "./bell.ts";
import { systemClock } from "./clock.ts";
import { readConnectConfig, type ConnectConfig, type ConnectOptions } from "./config.ts";
import { Connection, type ConnectionHandlers, type LinkEnd } from "./connection.ts";
import type { JobDefinition } from "./job.ts";
import { LineBudget } from "./line-budget.ts";
import { initialState, linkOf, LONGEST_DELAY_MS, nextState, type WorkerEvent, type WorkerState } from "./link-state.ts";
import { Outbox, type Reporter } from "./outbox.ts";
import { pushLogs } from "./push-logs.ts";

/** How a worker is started. */
export interface WorkerOptions extends ConnectOptions {
  /** The job types that it offers; each type once. */
  readonly jobs: readonly JobDefinition<never>[];
  /** How many attempts run at the same time, 1 to 1,000. Default 4. */
  readonly slots?: number;
  /** For selectors and for people. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Most bytes of lines that wait for the server, all jobs together. Default 64 MB. */
  readonly bufferBytes?: number;
  /** How long jobs have to end by themselves when the worker stops, milliseconds. Default 5,000. */
  readonly stopGraceMs?: number;
  /** How long `stop` takes at most, milliseconds: what is not delivered then is not delivered. Default 15,000. */
  readonly stopTimeoutMs?: number;
  /** A server that says nothing for so long is taken for gone, milliseconds. Default 12,000. */
  readonly silenceMs?: number;
  /** The delay between two tries to connect doubles from 100 ms up to this, milliseconds. Default 5,000. */
  readonly longestBackOffMs?: number;
  /** Called with each new state. */
  readonly onState?: (state: WorkerState) => void;
  /** Called with what the worker's owner should know. Default: a line on stderr. */
  readonly onNotice?: (message: string) => void;
}

/** A running worker. */
export interface Worker {
  readonly id: string;
  /** Random for each process. */
  readonly incarnation: string;
  readonly state: WorkerState;
  /** Jobs that run at this moment. */
  readonly running: number;
  /** Resolves when the worker is closed, be it by `stop` or because the server said so. */
  readonly closed: Promise<void>;
  /**
   * Takes no more work, lets what runs end (it is reported as RELEASED and queues again), delivers its lines, and leaves. May be called
   * again. Resolves when everything is closed.
   */
  stop(reason?: string): Promise<void>;
}

const agent = "signalbox-node/0.1.0";
const vitalsEveryMs = 250;
const rememberedAttempts = 10_000;

/**
 * Starts a worker. Resolves at once: it connects, and connects again, for as long as it lives. Rejects with TypeError if an option
 * cannot be used.
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const config = readConnectConfig(options);
  const { slots = 4, jobs } = options;
  if (!Number.isInteger(slots) || slots < 1 || slots > 1000)
    throw new TypeError(`a worker has 1 to 1,000 slots, not ${slots}`);
  if (jobs.length === 0) throw new TypeError("a worker offers at least one job type");
  const types = new Set(jobs.map(({ type }) => type));
  if (types.size !== jobs.length) throw new TypeError("a worker offers each job type once");
  const worker = new RunningWorker(options, config);
  worker.begin();
  return worker;
}

class RunningWorker implements Worker {
  readonly incarnation = randomUUID();
  readonly closed: Promise<void>;
  readonly #options: WorkerOptions;
  readonly #config: ConnectConfig;
  readonly #budget: LineBudget;
  readonly #outbox = new Outbox();
  /** Attempts and declined assignments whose end the server has not accepted. */
  readonly #reporters = new Map<string, Reporter>();
  /** Attempts that are over, so that a late repetition does not start one again. Oldest first. */
  readonly #over = new Set<string>();
  readonly #lastVitals = new Map<string, AttemptVitals>();
  readonly #changed = new Bell();
  readonly #closing = new AbortController();
  #state: WorkerState = initialState;
  #connection: Connection | undefined;
  #vitalsTimer: NodeJS.Timeout | undefined;
  #stopping: Promise<void> | undefined;
  #storeId: string | undefined;
  #resolveClosed: () => void = () => undefined;

  constructor(options: WorkerOptions, config: ConnectConfig) {
    this.#options = options;
    this.#config = config;
    this.#budget = new LineBudget(options.bufferBytes);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  get id(): string {
    return this.#config.workerId;
  }

  get state(): WorkerState {
    return this.#state;
  }

  get running(): number {
    return this.#attempts().filter((attempt) => !attempt.hasSettled).length;
  }

  begin(): void {
    void this.#keepConnected();
  }

  stop(reason = "the worker stops"): Promise<void> {
    this.#stopping ??= this.#stop(reason);
    return this.#stopping;
  }

  async #stop(reason: string): Promise<void> {
    const { stopGraceMs = 5000, stopTimeoutMs = 15_000 } = this.#options;
    this.#move({ kind: "stop", reason });
    this.#outbox.leaving(reason);
    for (const attempt of this.#attempts()) attempt.release(stopGraceMs, reason);
    const deadlineMs = systemClock.monotonicMs() + stopTimeoutMs;
    for (;;) {
      const leftMs = deadlineMs - systemClock.monotonicMs();
      if (this.#reporters.size === 0 || leftMs <= 0) break;
      await this.#changed.wait({ ms: leftMs });
    }
    this.#abandon("stopped before the server had its end");
    this.#closing.abort();
    this.#connection?.close("the worker has stopped");
    await this.closed;
  }

  /** Stops what runs, and forgets it although the server does not know its end. */
  #abandon(reason: string): void {
    for (const [key, reporter] of this.#reporters) {
      this.#notice(`${key}: ${reason}`);
      if (reporter instanceof Attempt) reporter.fence(reason);
    }
    this.#reporters.clear();
    this.#changed.ring();
  }

  /** Connects, again and again, until the worker closes. */
  async #keepConnected(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const { reason, replaced } = await this.#connectOnce();
      if (signal.aborted) break;
      if (replaced) {
        // To take the name back would only make the other one lose its jobs, and so on for ever.
        this.#notice(`this worker closes: ${reason}`);
        this.#move({ kind: "stop", reason });
        this.#abandon(reason);
        break;
      }
      const link = linkOf(this.#state);
      if (link?.kind !== "connecting" || link.failures === 0) this.#notice(`no link to ${this.#config.url}: ${reason}`);
      const { longestBackOffMs: longestDelayMs = LONGEST_DELAY_MS } = this.#options;
      this.#move({ kind: "lost", atMs: systemClock.monotonicMs(), reason, random: Math.random(), longestDelayMs });
      const after = linkOf(this.#state);
      if (after?.kind === "backing-off" && after.delayMs > 0) await new Bell().wait({ ms: after.delayMs, signal });
      this.#move({ kind: "retry" });
    }
    this.#move({ kind: "closed" });
    this.#resolveClosed();
  }

  async #connectOnce(): Promise<LinkEnd> {
    let token: string;
    try {
      token = await this.#config.readToken();
    } catch (error) {
      return { reason: error instanceof Error ? error.message : String(error), replaced: false };
    }
    if (this.#closing.signal.aborted) return { reason: "the worker has stopped", replaced: false };
    const { url } = this.#config;
    const { silenceMs } = this.#options;
    const connection = new Connection({ url, token, ...(silenceMs === undefined ? {} : { silenceMs }) });
    this.#connection = connection;
    try {
      return await connection.run(this.#hello(), this.#outbox, this.#handlers());
    } finally {
      this.#connection = undefined;
      clearInterval(this.#vitalsTimer);
    }
  }

  /** Says everything, so what waits to be said is said. */
  #hello(): Hello {
    const { jobs, slots = 4, labels = {} } = this.#options;
    this.#outbox.clear();
    this.#lastVitals.clear();
    return create(HelloSchema, {
      workerId: this.id,
      incarnation: this.incarnation,
      agent,
      jobTypes: jobs.map((job) => jobTypeOf(job)),
      slots,
      labels: { ...labels },
      metadata: this.#config.metadata,
      attempts: [...this.#reporters.values()].map((reporter) => reporter.report({ whole: true })),
      workerTimeUs: BigInt(systemClock.wallUs()),
    });
  }

  #handlers(): ConnectionHandlers {
    return {
      now: () => ({ bufferedBytes: this.#budget.bytes, nowUs: systemClock.wallUs() }),
      welcomed: (welcome, connection) => this.#welcomed(welcome, connection),
      received: (message) => {
        switch (message.case) {
          case "spec":
            this.#receiveSpec(message.value);
            return;
          case "endAccepted":
            this.#forget(attemptKey(message.value));
            return;
          case "fenced": {
            const key = attemptKey(message.value);
            const reporter = this.#reporters.get(key);
            if (!reporter) return;
            this.#notice(`${key} is not ours any more: ${message.value.reason}`);
            if (reporter instanceof Attempt) reporter.fence(message.value.reason);
            this.#forget(key);
            return;
          }
          case "drain":
            // Without `stop` there is nothing to do: the server assigns no more.
            if (message.value.stop) void this.stop(message.value.reason || "the server asked the worker to stop");
            return;
        }
      },
    };
  }

  #welcomed(welcome: Welcome, connection: Connection): void {
    if (this.#storeId !== undefined && this.#storeId !== welcome.storeId)
      this.#notice("the server has another store than before: it does not know the attempts of the old one");
    this.#storeId = welcome.storeId;
    this.#move({ kind: "welcomed", atMs: systemClock.monotonicMs() });
    if (this.#state.kind === "draining") this.#outbox.leaving(this.#state.reason);
    for (const attempt of this.#attempts()) this.#push(attempt, connection);
    this.#vitalsTimer = setInterval(() => this.#sendVitals(this.#attempts()), vitalsEveryMs);
  }

  #receiveSpec(spec: AttemptSpec): void {
    const key = attemptKey(spec);
    const known = this.#reporters.get(key);
    if (known instanceof Attempt) known.receive(spec);
    if (known || this.#over.has(key)) return;
    const definition = this.#options.jobs.find(({ type }) => type === spec.type);
    const { slots = 4 } = this.#options;
    if (this.#state.kind === "draining") this.#decline(spec, "the worker stops");
    else if (!definition) this.#decline(spec, `this worker offers no job type ${spec.type}`);
    else if (this.running >= slots) this.#decline(spec, `all ${slots} slots of this worker are taken`);
    else this.#start(new Attempt(spec, definition, this.#attemptHost()));
  }

  #start(attempt: Attempt): void {
    this.#reporters.set(attempt.key, attempt);
    attempt.start();
    if (this.#connection) this.#push(attempt, this.#connection);
  }

  #attemptHost() {
    return {
      clock: systemClock,
      budget: this.#budget,
      onChange: (attempt: Attempt) => {
        if (this.#reporters.get(attempt.key) !== attempt) return;
        this.#sendVitals([attempt]);
        this.#outbox.report(attempt);
      },
    };
  }

  #decline(spec: AttemptSpec, reason: string): void {
    const generation = spec.spec?.generation ?? 0n;
    const reporter = ended(spec.jobId, spec.attempt, EndOutcome.DECLINED, reason, generation);
    this.#reporters.set(attemptKey(spec), reporter);
    this.#outbox.report(reporter);
  }

  #forget(key: string): void {
    this.#reporters.delete(key);
    this.#lastVitals.delete(key);
    this.#over.add(key);
    for (const oldest of this.#over) {
      if (this.#over.size <= rememberedAttempts) break;
      this.#over.delete(oldest);
    }
    this.#changed.ring();
  }

  #push(attempt: Attempt, connection: Connection): void {
    const { client, signal } = connection;
    pushLogs({
      log: attempt.log,
      jobId: attempt.jobId,
      attempt: attempt.number,
      incarnation: this.incarnation,
      client,
      signal,
      notice: (message) => this.#notice(`${attempt.key}: ${message}`),
    }).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      this.#notice(`${attempt.key} is given up: ${reason}`);
      attempt.fence(reason);
      // The server still waits for this attempt: it must hear that nothing will come.
      const failed = ended(attempt.jobId, attempt.number, EndOutcome.FAILED, reason);
      this.#reporters.set(attempt.key, failed);
      this.#outbox.report(failed);
    });
  }

  #sendVitals(attempts: readonly Attempt[]): void {
    const news = attempts.map((attempt) => attempt.vitals()).filter((vitals) => this.#isNews(vitals));
    for (const vitals of news) this.#lastVitals.set(attemptKey(vitals), vitals);
    this.#outbox.vitals(news);
  }

  #isNews(vitals: AttemptVitals): boolean {
    const last = this.#lastVitals.get(attemptKey(vitals));
    return !last || !equals(AttemptVitalsSchema, { ...last, atUs: vitals.atUs }, vitals);
  }

  #attempts(): Attempt[] {
    return [...this.#reporters.values()].filter((reporter) => reporter instanceof Attempt);
  }

  #move(event: WorkerEvent): void {
    const before = this.#state;
    this.#state = nextState(before, event);
    if (this.#state !== before) this.#options.onState?.(this.#state);
  }

  #notice(message: string): void {
    if (this.#options.onNotice) this.#options.onNotice(message);
    else process.stderr.write(`signalbox worker ${this.id}: ${message}\n`);
  }
}

/** What is reported of an attempt that does not run here, or no more, and has no lines to deliver. */
function ended(jobId: string, attempt: number, outcome: EndOutcome, reason: string, receivedGeneration = 0n): Reporter {
  const report: AttemptReport = create(AttemptReportSchema, {
    jobId,
    attempt,
    receivedGeneration,
    end: { outcome, reason, endLine: 1n, atUs: BigInt(systemClock.wallUs()) },
    nextLine: 1n,
  });
  return { report: () => report };
}

function jobTypeOf({ type, description, parameters, levers, itemNoun, defaultItemsPerSecond }: JobDefinition<never>) {
  return create(JobTypeSchema, {
    name: type,
    description: description ?? "",
    ...(parameters ? { parametersSchema: parameters } : {}),
    levers: [...(levers ?? ["run", "speed"])],
    itemNoun: itemNoun ?? "",
    ...(defaultItemsPerSecond === undefined ? {} : { defaultItemsPerSecond }),
  });
}

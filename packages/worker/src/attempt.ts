import { setImmediate as nextTurn } from "node:timers/promises";
import { inspect } from "node:util";
import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  AttemptEndSchema,
  AttemptReportSchema,
  AttemptVitalsSchema,
  EndOutcome,
  Level,
  Source,
  type AttemptEnd,
  type AttemptReport,
  type AttemptSpec,
  type AttemptVitals,
} from "@signalbox/protocol";
import { attemptKey } from "./attempt-key.ts";
import { AttemptLog } from "./attempt-log.ts";
import { Bell, longestTimerMs } from "./bell.ts";
import type { Clock } from "./clock.ts";
import type { Fields } from "./fields.ts";
import {
  JobCanceled,
  JobFenced,
  JobReleased,
  LogOverflow,
  type Job,
  type JobDefinition,
  type JobLog,
  type Progress,
} from "./job.ts";
import { Levers } from "./levers.ts";
import type { LineBudget } from "./line-budget.ts";
import { Pacer } from "./pacer.ts";
import { RateMeter } from "./rate-meter.ts";

const longestReason = 2000;
const longestPhase = 200;
const longestCheckpoint = 64 * 1024;
const checkpointEveryMs = 1000;
/** A job that has overrun the log has this long to end, milliseconds. */
const overflowGraceMs = 5000;
/** A job that never waits for anything lets the process breathe this often, milliseconds. */
const breatheEveryMs = 10;
const stalledByLog = "waiting for the log to drain";

/** What an attempt needs from its worker. */
export interface AttemptHost {
  readonly clock: Clock;
  readonly budget: LineBudget;
  /** The report has changed. */
  onChange(attempt: Attempt): void;
}

/**
 * One attempt at this worker: runs the job function, obeys the levers, and keeps the report that the server gets. It has settled when
 * its outcome is known, and ended when the server has its last line too.
 */
export class Attempt {
  readonly key: string;
  readonly jobId: string;
  readonly number: number;
  readonly log: AttemptLog;
  readonly #host: AttemptHost;
  readonly #definition: JobDefinition<never>;
  readonly #spec: AttemptSpec;
  readonly #levers: Levers;
  readonly #pacer = new Pacer();
  readonly #meter = new RateMeter();
  readonly #controller = new AbortController();
  /** Rings when a lever has moved, the signal has aborted, or there is room for lines. */
  readonly #wake = new Bell();
  #started = false;
  #settled = false;
  #released = false;
  #overflow: LogOverflow | undefined;
  /** The abort has reached the job function through a safe point. */
  #interrupted = false;
  #end: AttemptEnd | undefined;
  #checkpoint: Uint8Array = new Uint8Array();
  #checkpointUnsent = false;
  #checkpointTimer: NodeJS.Timeout | undefined;
  #graceTimer: NodeJS.Timeout | undefined;
  #graceEndsAtMs = Infinity;
  #holdTimer: NodeJS.Timeout | undefined;
  #breathedAtMs = 0;
  #itemsDone = 0;
  #itemsTotal: number | undefined;
  #totalWasSaid = false;
  #bytesDone = 0;
  #bytesTotal: number | undefined;
  #phase = "";
  #stalledBy = "";

  constructor(spec: AttemptSpec, definition: JobDefinition<never>, host: AttemptHost) {
    this.jobId = spec.jobId;
    this.number = spec.attempt;
    this.key = attemptKey(spec);
    this.#spec = spec;
    this.#definition = definition;
    this.#host = host;
    this.log = new AttemptLog({ budget: host.budget, clock: host.clock, onRoom: () => this.#wake.ring() });
    this.#levers = new Levers(
      definition.type,
      definition.levers ?? ["run", "speed"],
      {
        speed: (itemsPerSecond) => {
          this.#pacer.setSpeed(itemsPerSecond);
          this.#wake.ring();
        },
        logLevel: (level) => {
          this.log.lowestLevel = level;
        },
        run: () => this.#wake.ring(),
        cancel: (graceMs, reason) => this.#cancel(graceMs, reason),
        mark: () => this.log.mark(),
      },
      host.clock,
    );
  }

  /** The outcome is known: nothing runs any more that anybody waits for. */
  get hasSettled(): boolean {
    return this.#settled;
  }

  /** Takes the spec, first or again. Older generations and repetitions change nothing. */
  receive(spec: AttemptSpec): void {
    if (!spec.spec) return;
    this.#levers.receive(spec.spec);
    this.#armHoldTimer();
    this.#host.onChange(this);
  }

  /** Takes the first spec and begins. */
  start(): void {
    this.receive(this.#spec);
    void this.#run();
  }

  /** The worker stops, for `reason`: the job has `graceMs` to end by itself. */
  release(graceMs: number, reason: string): void {
    if (this.#settled) return;
    this.#released = true;
    this.#abort(new JobReleased(reason));
    this.#grace(graceMs);
  }

  /** The attempt is not this worker's any more: stops at once and is silent. */
  fence(reason: string): void {
    this.#settled = true;
    this.#clearTimers();
    this.log.discard();
    this.#abort(new JobFenced(reason || "the attempt belongs to another worker"));
  }

  /** The whole state. With `whole` also a checkpoint that was sent before. */
  report({ whole }: { whole: boolean }): AttemptReport {
    const withCheckpoint = (whole && this.#checkpoint.length > 0) || this.#checkpointUnsent;
    this.#checkpointUnsent = false;
    return create(AttemptReportSchema, {
      jobId: this.jobId,
      attempt: this.number,
      started: this.#started,
      receivedGeneration: this.#levers.receivedGeneration,
      levers: this.#levers.reports(),
      ...(this.#end ? { end: this.#end } : {}),
      ...(withCheckpoint ? { checkpoint: this.#checkpoint } : {}),
      nextLine: BigInt(this.log.nextLine),
    });
  }

  /** How far it is. To be called a few times a second: the rate is measured from call to call. */
  vitals(): AttemptVitals {
    const { clock } = this.#host;
    const stands = this.#levers.isStanding;
    if (stands) this.#meter.restart();
    const rate = this.#meter.sample(clock.monotonicMs(), this.#itemsDone);
    return create(AttemptVitalsSchema, {
      jobId: this.jobId,
      attempt: this.number,
      itemsDone: BigInt(this.#itemsDone),
      ...(this.#itemsTotal === undefined ? {} : { itemsTotal: BigInt(this.#itemsTotal) }),
      bytesDone: BigInt(this.#bytesDone),
      ...(this.#bytesTotal === undefined ? {} : { bytesTotal: BigInt(this.#bytesTotal) }),
      itemsPerSecond: stands || this.#settled ? 0 : rate,
      phase: this.#phase,
      atUs: BigInt(clock.wallUs()),
      stalledBy: this.#stalledBy,
    });
  }

  async #run(): Promise<void> {
    // A function that works long before its first `await` shall not keep the next messages waiting.
    await nextTurn();
    if (this.#settled) return;
    if (this.#controller.signal.aborted) {
      this.#settleStopped(this.#abortReason());
      return;
    }
    this.#started = true;
    this.#host.onChange(this);
    try {
      // The cast is the one place where a job type's own parameters meet the general ones: the server has checked them.
      await this.#definition.run(this.#job() as Job<never>);
      this.#returned();
    } catch (error) {
      this.#threw(error);
    }
  }

  #job(): Job {
    const spec = this.#spec;
    const parameters = spec.spec?.levers.find(({ value }) => value?.value.case === "parameters")?.value?.value;
    return {
      id: this.jobId,
      attempt: this.number,
      name: spec.name,
      labels: { ...spec.labels },
      parameters: structuredClone<JsonObject>((parameters?.case === "parameters" && parameters.value.parameters) || {}),
      saved: spec.checkpoint.length > 0 ? spec.checkpoint.slice() : undefined,
      log: this.#jobLog(),
      signal: this.#controller.signal,
      progress: (progress) => this.#progress(progress),
      paced: (items) => this.#paced(items),
      checkpoint: (save) => this.#checkpointed(save),
    };
  }

  #progress(progress: Progress): void {
    const { done, bytesDone, phase } = progress;
    if (done !== undefined) this.#itemsDone = wholeNumber(done) ?? this.#itemsDone;
    if ("total" in progress) {
      this.#itemsTotal = wholeNumber(progress.total);
      this.#totalWasSaid = true;
    }
    if (bytesDone !== undefined) this.#bytesDone = wholeNumber(bytesDone) ?? this.#bytesDone;
    if ("bytesTotal" in progress) this.#bytesTotal = wholeNumber(progress.bytesTotal);
    if (phase !== undefined) this.#phase = [...phase].slice(0, longestPhase).join("").toWellFormed();
  }

  #jobLog(): JobLog {
    const at = (level: Level) => (text: string, fields?: Fields) => {
      this.#refuseOverflow();
      this.log.line(level, text, fields, Source.TASK);
      this.#checkOverflow();
    };
    return {
      trace: at(Level.TRACE),
      debug: at(Level.DEBUG),
      info: at(Level.INFO),
      warn: at(Level.WARN),
      error: at(Level.ERROR),
      fatal: at(Level.FATAL),
      write: (bytes, source = "task") => {
        this.#refuseOverflow();
        this.log.write(typeof bytes === "string" ? Buffer.from(bytes) : bytes, sources[source]);
        this.#checkOverflow();
      },
      ready: async () => {
        while (this.#host.budget.isFull) {
          this.#throwIfAborted();
          this.#stalledBy = stalledByLog;
          await this.#wake.wait();
        }
        this.#stalledBy = "";
      },
    };
  }

  #refuseOverflow(): void {
    if (this.#overflow && !this.#settled) throw this.#overflow;
  }

  #checkOverflow(): void {
    if (this.#settled || !this.log.isOver) return;
    const megabytes = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(bytes < 10_485_760 ? 1 : 0)} MB`;
    this.#overflow = new LogOverflow(
      `${megabytes(this.log.bytes)} of lines wait for the server, and this worker may hold ${megabytes(this.#host.budget.boundBytes)}: ` +
        "a job that prints this fast must use job.paced, job.checkpoint or await job.log.ready(), which wait",
    );
    this.#abort(this.#overflow);
    this.#grace(overflowGraceMs);
    throw this.#overflow;
  }

  async *#paced<T>(items: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    if (Array.isArray(items) && !this.#totalWasSaid) this.#itemsTotal = this.#itemsDone + items.length;
    for await (const item of items) {
      await this.#safePoint({ paced: true });
      yield item;
      this.#itemsDone++;
    }
  }

  async #checkpointed(save: Uint8Array | undefined): Promise<void> {
    if (save && save.length > longestCheckpoint)
      throw new RangeError(`a checkpoint has at most ${longestCheckpoint} bytes, not ${save.length}`);
    if (save && !this.#settled) {
      this.#checkpoint = save.slice();
      this.#checkpointUnsent = true;
      this.#checkpointTimer ??= setTimeout(() => {
        this.#checkpointTimer = undefined;
        if (this.#checkpointUnsent) this.#host.onChange(this);
      }, checkpointEveryMs);
    }
    await this.#safePoint({ paced: false });
  }

  /** Returns when the job may go on: not paused, room for lines, and, if it is paced, the next item is due. */
  async #safePoint({ paced }: { paced: boolean }): Promise<void> {
    const { clock, budget } = this.#host;
    for (;;) {
      this.#throwIfAborted();
      if (this.#levers.shallStand) {
        this.#stalledBy = "";
        this.#levers.stand();
        this.#armHoldTimer();
        this.#host.onChange(this);
        await this.#wake.wait();
        continue;
      }
      if (this.#levers.isStanding) {
        this.#levers.goOn();
        this.#armHoldTimer();
        this.#pacer.restart();
        this.#meter.restart();
        this.#host.onChange(this);
      }
      if (budget.isFull) {
        this.#stalledBy = stalledByLog;
        await this.#wake.wait();
        continue;
      }
      this.#stalledBy = "";
      const nowMs = clock.monotonicMs();
      const waitMs = paced ? this.#pacer.dueMs(nowMs) - nowMs : 0;
      if (waitMs > 0) {
        this.#breathedAtMs = nowMs;
        await this.#wake.wait({ ms: Math.ceil(waitMs) });
        continue;
      }
      if (nowMs - this.#breathedAtMs >= breatheEveryMs) {
        // Promises alone would keep timers and sockets waiting for as long as the job has items.
        await nextTurn();
        this.#breathedAtMs = clock.monotonicMs();
        continue;
      }
      if (paced) this.#pacer.begin(nowMs);
      return;
    }
  }

  #throwIfAborted(): void {
    if (!this.#controller.signal.aborted) return;
    this.#interrupted = true;
    throw this.#controller.signal.reason as Error;
  }

  #cancel(graceMs: number, reason: string): void {
    if (this.#settled) return;
    this.#abort(new JobCanceled(reason));
    this.#grace(graceMs);
  }

  #abort(reason: Error): void {
    this.#controller.abort(reason);
    this.#wake.ring();
  }

  /** The job has at most `graceMs` from now to end by itself. */
  #grace(graceMs: number): void {
    const endsAtMs = this.#host.clock.monotonicMs() + graceMs;
    if (endsAtMs >= this.#graceEndsAtMs) return;
    this.#graceEndsAtMs = endsAtMs;
    clearTimeout(this.#graceTimer);
    this.#graceTimer = setTimeout(() => this.#abandon(graceMs), Math.min(graceMs, longestTimerMs));
  }

  /** The grace is over and the job function has not ended. */
  #abandon(graceMs: number): void {
    if (this.#settled) return;
    this.#systemLine(
      Level.WARN,
      `The job was told to end and has not within ${graceMs} ms: it is given up, though its function may still run.`,
    );
    this.#settleStopped(this.#abortReason());
  }

  #returned(): void {
    if (this.#settled) return;
    if (this.#overflow || this.#interrupted) this.#settleStopped(this.#abortReason());
    else this.#settle(EndOutcome.SUCCEEDED, "");
  }

  #threw(error: unknown): void {
    if (this.#settled) return;
    const { signal } = this.#controller;
    if (signal.aborted && isAbort(error, signal.reason)) {
      this.#settleStopped(this.#abortReason());
      return;
    }
    this.#systemLine(Level.ERROR, inspect(error, { depth: 4, maxStringLength: 10_000 }).slice(0, 50_000));
    const message = messageOf(error);
    if (signal.aborted) this.#settleStopped(`${this.#abortReason()} (while it stopped: ${message})`);
    else this.#settle(EndOutcome.FAILED, message);
  }

  /** Settles an attempt whose signal has aborted. */
  #settleStopped(reason: string): void {
    if (this.#overflow) this.#settle(EndOutcome.FAILED, messageOf(this.#overflow));
    else if (this.#levers.isCancelled) this.#settle(EndOutcome.CANCELED, reason);
    else if (this.#released) this.#settle(EndOutcome.RELEASED, reason);
    else this.#settle(EndOutcome.FAILED, reason);
  }

  #settle(outcome: EndOutcome, reason: string): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#stalledBy = "";
    this.#clearTimers();
    this.log.close();
    if (outcome === EndOutcome.CANCELED) {
      this.#levers.cancelTookEffect();
      this.#host.onChange(this);
    }
    const atUs = BigInt(this.#host.clock.wallUs());
    void this.log.drained.then(() => {
      this.#end = create(AttemptEndSchema, {
        outcome,
        reason: reason.slice(0, longestReason).toWellFormed(),
        endLine: BigInt(this.log.nextLine),
        atUs,
      });
      this.#host.onChange(this);
    });
  }

  #systemLine(level: Level, text: string): void {
    this.log.line(level, text, undefined, Source.SYSTEM);
  }

  #abortReason(): string {
    return this.#controller.signal.aborted ? messageOf(this.#controller.signal.reason) : "canceled";
  }

  #armHoldTimer(): void {
    clearTimeout(this.#holdTimer);
    this.#holdTimer = undefined;
    const endMs = this.#levers.nextHoldEndMs;
    if (endMs === undefined || this.#settled) return;
    const waitMs = Math.ceil(endMs - this.#host.clock.monotonicMs());
    this.#holdTimer = setTimeout(
      () => {
        this.#levers.endHolds();
        this.#armHoldTimer();
        this.#host.onChange(this);
      },
      Math.min(Math.max(waitMs, 1), longestTimerMs),
    );
  }

  #clearTimers(): void {
    clearTimeout(this.#graceTimer);
    clearTimeout(this.#holdTimer);
    clearTimeout(this.#checkpointTimer);
  }
}

const sources = { stdout: Source.STDOUT, stderr: Source.STDERR, task: Source.TASK } as const;

/** Whether an error is what an aborted signal causes: the reason itself, an AbortError of the platform, or one caused by them. */
function isAbort(error: unknown, reason: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause)
    if (each === reason || each.name === "AbortError") return true;
  return error === reason;
}

function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message || error.name;
  return typeof error === "string" ? error || "an empty error" : inspect(error);
}

function wholeNumber(value: number | undefined): number | undefined {
  return value !== undefined && Number.isFinite(value) && value >= 0 ? Math.floor(value) : undefined;
}

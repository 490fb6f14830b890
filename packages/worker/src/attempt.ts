import { setImmediate as nextTurn } from "node:timers/promises";
import { inspect } from "node:util";
import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  AttemptEndSchema,
  AttemptReportSchema,
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
import { AttemptProgress } from "./attempt-progress.ts";
import { Bell, longestTimerMs } from "./bell.ts";
import { CheckpointBox } from "./checkpoint-box.ts";
import type { Clock } from "./clock.ts";
import { isAbort, messageOf } from "./errors.ts";
import { createJobLog } from "./job-log.ts";
import { JobCanceled, JobFenced, JobReleased, type Job, type JobDefinition, type LogOverflow } from "./job.ts";
import { Levers } from "./levers.ts";
import type { LineBudget } from "./line-budget.ts";
import { SafePoints } from "./safe-points.ts";

const longestReason = 2000;
/** A job that has overrun the log has this long to end, milliseconds. */
const overflowGraceMs = 5000;

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
  readonly #progress = new AttemptProgress();
  readonly #safePoints: SafePoints;
  readonly #checkpoint = new CheckpointBox(() => this.#changed());
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
  #graceTimer: NodeJS.Timeout | undefined;
  #graceEndsAtMs = Infinity;
  #holdTimer: NodeJS.Timeout | undefined;

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
        speed: (itemsPerSecond) => this.#safePoints.setSpeed(itemsPerSecond),
        logLevel: (level) => {
          this.log.lowestLevel = level;
        },
        run: () => this.#wake.ring(),
        cancel: (graceMs, reason) => this.#cancel(graceMs, reason),
        mark: () => this.log.mark(),
      },
      host.clock,
    );
    this.#safePoints = new SafePoints({
      clock: host.clock,
      budget: host.budget,
      progress: this.#progress,
      wake: this.#wake,
      throwIfAborted: () => this.#throwIfAborted(),
      shallStand: () => this.#levers.shallStand,
      isStanding: () => this.#levers.isStanding,
      stand: () => {
        this.#levers.stand();
        this.#leversMoved();
      },
      goOn: () => {
        this.#levers.goOn();
        this.#leversMoved();
      },
    });
  }

  /** The outcome is known: nothing runs any more that anybody waits for. */
  get hasSettled(): boolean {
    return this.#settled;
  }

  /** Takes the spec, first or again. Older generations and repetitions change nothing. */
  receive(spec: AttemptSpec): void {
    if (!spec.spec) return;
    this.#levers.receive(spec.spec);
    this.#leversMoved();
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
    const checkpoint = this.#checkpoint.take({ whole });
    return create(AttemptReportSchema, {
      jobId: this.jobId,
      attempt: this.number,
      started: this.#started,
      receivedGeneration: this.#levers.receivedGeneration,
      levers: this.#levers.reports(),
      ...(this.#end ? { end: this.#end } : {}),
      ...(checkpoint ? { checkpoint } : {}),
      nextLine: BigInt(this.log.nextLine),
    });
  }

  /** How far it is. To be called a few times a second: the rate is measured from call to call. */
  vitals(): AttemptVitals {
    const job = { stands: this.#levers.isStanding, ended: this.#settled };
    return this.#progress.vitals({ jobId: this.jobId, attempt: this.number }, this.#host.clock, job);
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
    this.#changed();
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
      log: createJobLog({
        log: this.log,
        boundBytes: this.#host.budget.boundBytes,
        ready: () => this.#safePoints.roomForLines(),
        hasSettled: () => this.#settled,
        overflowed: (error) => {
          this.#overflow = error;
          this.#abort(error);
          this.#grace(overflowGraceMs);
        },
      }),
      signal: this.#controller.signal,
      progress: (progress) => this.#progress.say(progress),
      paced: (items) => this.#safePoints.paced(items),
      checkpoint: async (save) => {
        if (save) this.#checkpoint.check(save);
        if (save && !this.#settled) this.#checkpoint.save(save);
        await this.#safePoints.pass({ paced: false });
      },
    };
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
    this.#progress.stalledBy = "";
    this.#clearTimers();
    this.log.close();
    if (outcome === EndOutcome.CANCELED) {
      this.#levers.cancelTookEffect();
      this.#changed();
    }
    const atUs = BigInt(this.#host.clock.wallUs());
    void this.log.drained.then(() => {
      this.#end = create(AttemptEndSchema, {
        outcome,
        reason: reason.slice(0, longestReason).toWellFormed(),
        endLine: BigInt(this.log.nextLine),
        atUs,
      });
      this.#changed();
    });
  }

  #systemLine(level: Level, text: string): void {
    this.log.line(level, text, undefined, Source.SYSTEM);
  }

  #abortReason(): string {
    return this.#controller.signal.aborted ? messageOf(this.#controller.signal.reason) : "canceled";
  }

  #changed(): void {
    this.#host.onChange(this);
  }

  #leversMoved(): void {
    this.#armHoldTimer();
    this.#changed();
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
        this.#leversMoved();
      },
      Math.min(Math.max(waitMs, 1), longestTimerMs),
    );
  }

  #clearTimers(): void {
    clearTimeout(this.#graceTimer);
    clearTimeout(this.#holdTimer);
    this.#checkpoint.close();
  }
}

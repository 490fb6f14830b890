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
  type Input,
} from "@signalbox/protocol";
import { attemptKey } from "./attempt-key.ts";
import { AttemptLog } from "./attempt-log.ts";
import { AttemptProgress } from "./attempt-progress.ts";
import { Bell, longestTimerMs } from "./bell.ts";
import { CheckpointBox } from "./checkpoint-box.ts";
import type { Clock } from "./clock.ts";
import { isAbort, messageOf } from "./errors.ts";
import { HandlerCalls } from "./handler-calls.ts";
import { JobInput } from "./job-input.ts";
import { createJobLog } from "./job-log.ts";
import {
  JobCanceled,
  JobFenced,
  JobReleased,
  ProgramFailed,
  type Job,
  type JobDefinition,
  type JobHandlers,
  type LogOverflow,
  type ProgramEnd,
} from "./job.ts";
import { defaultLevers, Levers } from "./levers.ts";
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
  /** The server is to hear how much input was taken. */
  onInputTaken(attempt: Attempt): void;
}

/** What a job begins with, whoever began it. */
export interface AttemptBeginning {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly checkpoint?: Uint8Array;
  /** Until the server says what they are. */
  readonly parameters?: JsonObject;
}

/**
 * One attempt at this worker: runs the job function, obeys the levers, and keeps the report that the server gets. It has settled when
 * its outcome is known, and ended when the server has its last line too. It may begin before the server knows it: then it has no id, and
 * `bind` gives it one.
 */
export class Attempt {
  readonly log: AttemptLog;
  /** Resolves when the job function has ended, or nobody waits for it any more. */
  readonly over: Promise<void>;
  readonly #host: AttemptHost;
  readonly #definition: JobDefinition<never>;
  readonly #beginning: AttemptBeginning;
  readonly #levers: Levers;
  readonly #progress = new AttemptProgress();
  readonly #safePoints: SafePoints;
  readonly #input: JobInput | undefined;
  readonly #checkpoint = new CheckpointBox(() => this.#changed());
  readonly #controller = new AbortController();
  /** Rings when a lever has moved, the signal has aborted, there is room for lines, or input. */
  readonly #wake = new Bell();
  #jobId = "";
  #number = 0;
  #handlers: JobHandlers<never> | undefined;
  readonly #runCalls: HandlerCalls;
  readonly #parametersCalls: HandlerCalls;
  /** The job's own `cancel` has failed, so that its grace counts after all. */
  #cancelFailed = false;
  #started = false;
  #settled = false;
  #released = false;
  #overflow: LogOverflow | undefined;
  /** The abort has reached the job function through a safe point. */
  #interrupted = false;
  #end: AttemptEnd | undefined;
  #resolveOver: () => void = () => undefined;
  #graceTimer: NodeJS.Timeout | undefined;
  #graceEndsAtMs = Infinity;
  #holdTimer: NodeJS.Timeout | undefined;

  constructor(beginning: AttemptBeginning, definition: JobDefinition<never>, host: AttemptHost) {
    this.#beginning = beginning;
    this.#definition = definition;
    this.#host = host;
    this.over = new Promise((resolve) => (this.#resolveOver = resolve));
    this.log = new AttemptLog({ budget: host.budget, clock: host.clock, onRoom: () => this.#wake.ring() });
    if (definition.input)
      this.#input = new JobInput({ arrived: this.#wake, onTaken: () => this.#host.onInputTaken(this) });
    this.#levers = new Levers(
      { type: definition.type, offered: definition.levers ?? defaultLevers, parameters: beginning.parameters ?? {} },
      {
        speed: (itemsPerSecond) => this.#safePoints.setSpeed(itemsPerSecond),
        logLevel: (level) => {
          this.log.lowestLevel = level;
        },
        run: () => this.#wake.ring(),
        cancel: (graceMs, reason) => this.cancel(graceMs, reason),
        mark: () => this.log.mark(),
      },
      host.clock,
    );
    const { run, parameters } = this.#levers;
    this.#safePoints = new SafePoints({
      clock: host.clock,
      budget: host.budget,
      progress: this.#progress,
      wake: this.#wake,
      throwIfAborted: () => this.#throwIfAborted(),
      shallStand: () => (this.#handlesRun ? run.isStanding : run.shallStand),
      isStanding: () => !this.#handlesRun && run.isStanding,
      stand: () => {
        if (this.#handlesRun) return;
        run.stand();
        this.#leversMoved();
      },
      goOn: () => {
        run.goOn();
        this.#leversMoved();
      },
    });
    const calls = { onMoved: () => this.#leversMoved(), isOver: () => this.#settled };
    this.#runCalls = new HandlerCalls(
      {
        begin: () => {
          const name = this.#handlesRun ? run.begin() : undefined;
          return name && (() => this.#handlers?.[name]?.());
        },
        done: () => {
          run.done();
          this.#safePoints.restart();
          this.#wake.ring();
        },
        refused: (reason) => run.refused(reason),
      },
      calls,
    );
    this.#parametersCalls = new HandlerCalls(
      {
        begin: () => {
          const next = this.#handlers?.parameters && parameters.begin();
          return next && (() => this.#handlers?.parameters?.(next as never));
        },
        done: () => parameters.done(),
        refused: (reason) => parameters.refused(reason),
      },
      calls,
    );
  }

  /** The job; empty until the server knows it. */
  get jobId(): string {
    return this.#jobId;
  }

  /** From 1; 0 until the server knows it. */
  get number(): number {
    return this.#number;
  }

  /** Names it among the attempts of its worker; empty until the server knows it. */
  get key(): string {
    return this.#jobId && attemptKey({ jobId: this.#jobId, attempt: this.#number });
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

  /** The server knows the attempt by this spec. */
  bind(spec: AttemptSpec): void {
    this.#jobId = spec.jobId;
    this.#number = spec.attempt;
    this.receive(spec);
  }

  /** Begins. */
  start(): void {
    // Of an attempt that the server knows the spec has said it.
    if (!this.#jobId) this.#safePoints.setSpeed(this.#definition.defaultItemsPerSecond);
    void this.#run();
  }

  /** Offset after what the job has taken of its input; undefined: it takes none, or no more. */
  get inputTaken(): number | undefined {
    return this.#settled ? undefined : this.#input?.taken;
  }

  /** Takes a piece of input. */
  receiveInput(input: Input): void {
    this.#input?.receive(input);
  }

  /** Somebody cancels the job: it has `graceMs` to end by itself. */
  cancel(graceMs: number, reason: string): void {
    if (this.#settled) return;
    this.#abort(new JobCanceled(reason, graceMs));
    this.#grace(graceMs);
    this.#callCancel(graceMs, reason);
  }

  /** The worker stops, for `reason`: the job has `graceMs` to end by itself. */
  release(graceMs: number, reason: string): void {
    if (this.#settled) return;
    this.#released = true;
    this.#abort(new JobReleased(reason, graceMs));
    this.#grace(graceMs);
  }

  /** The attempt is not this worker's any more: stops at once and is silent. */
  fence(reason: string): void {
    this.#settled = true;
    this.#close();
    this.log.discard();
    this.#abort(new JobFenced(reason || "the attempt belongs to another worker"));
  }

  /** No server will ever take its lines: they are forgotten, and the job goes on. */
  disown(): void {
    this.log.discard();
    this.#wake.ring();
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
    const job = { stands: this.#levers.run.isStanding, ended: this.#settled };
    return this.#progress.vitals({ jobId: this.jobId, attempt: this.number }, this.#host.clock, job);
  }

  async #run(): Promise<void> {
    // A function that works long before its first `await` shall not keep the next messages waiting.
    await nextTurn();
    if (this.#settled) return;
    if (this.#controller.signal.aborted) {
      this.#settleStopped(this.#abortReason(), {});
      return;
    }
    this.#started = true;
    this.#changed();
    try {
      // The cast is the one place where a job type's own parameters meet the general ones: the server has checked them.
      this.#returned((await this.#definition.run(this.#job() as Job<never>)) ?? {});
    } catch (error) {
      this.#threw(error);
    } finally {
      this.#resolveOver();
    }
  }

  #job(): Job {
    const { name, labels, checkpoint } = this.#beginning;
    const id = () => this.#jobId;
    const attempt = () => this.#number;
    const { parameters } = this.#levers;
    return {
      get id() {
        return id();
      },
      get attempt() {
        return attempt();
      },
      name,
      labels: { ...labels },
      get parameters() {
        return parameters.inEffect;
      },
      saved: checkpoint && checkpoint.length > 0 ? checkpoint.slice() : undefined,
      log: createJobLog({
        log: this.log,
        budget: this.#host.budget,
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
      input: { [Symbol.asyncIterator]: () => this.#readInput() },
      handle: (handlers) => this.#handle(handlers),
    };
  }

  #readInput(): AsyncGenerator<Uint8Array, void, undefined> {
    if (!this.#input) throw new TypeError(`jobs of type ${this.#definition.type} take no input: define it with input`);
    return this.#input.read(() => this.#throwIfAborted());
  }

  get #handlesRun(): boolean {
    return this.#handlers?.pause !== undefined;
  }

  #handle(handlers: JobHandlers): void {
    const { type } = this.#definition;
    if (this.#handlers) throw new TypeError(`job type ${type}: job.handle was called already`);
    if (handlers.parameters && !this.#levers.offers("parameters"))
      throw new TypeError(`job type ${type}: a handler for parameters needs the lever "parameters"`);
    if (handlers.pause && !this.#levers.offers("run"))
      throw new TypeError(`job type ${type}: a handler for pause needs the lever "run"`);
    if (handlers.resume && !handlers.pause) throw new TypeError(`job type ${type}: resume needs pause`);
    this.#handlers = handlers;
    if (handlers.parameters) this.#levers.parameters.handle();
    queueMicrotask(() => {
      this.#look();
      const { cancel } = this.#levers.run;
      if (cancel) this.#callCancel(cancel.graceMs, cancel.reason);
    });
  }

  /** Calls the handlers of what is wanted. */
  #look(): void {
    this.#runCalls.look();
    this.#parametersCalls.look();
  }

  #callCancel(graceMs: number, reason: string): void {
    if (this.#settled) return;
    try {
      this.#handlers?.cancel?.(graceMs, reason);
    } catch (error) {
      this.#cancelFailed = true;
      this.#systemLine(Level.ERROR, inspectError(error));
    }
  }

  #throwIfAborted(): void {
    if (!this.#controller.signal.aborted) return;
    this.#interrupted = true;
    throw this.#controller.signal.reason as Error;
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
    // A job that cancels by itself ends by itself; one that has overrun the log has done nothing of the kind.
    if (this.#handlers?.cancel && !this.#cancelFailed && !this.#overflow) return;
    this.#systemLine(
      Level.WARN,
      `The job was told to end and has not within ${graceMs} ms: it is given up, though its function may still run.`,
    );
    this.#settleStopped(this.#abortReason(), {});
    this.#resolveOver();
  }

  #returned(end: ProgramEnd): void {
    if (this.#settled) return;
    if (this.#overflow || this.#interrupted) this.#settleStopped(this.#abortReason(), end);
    else this.#settle(EndOutcome.SUCCEEDED, "", end);
  }

  #threw(error: unknown): void {
    if (this.#settled) return;
    const { signal } = this.#controller;
    const programFailed = error instanceof ProgramFailed;
    const end = programFailed ? error : {};
    if (signal.aborted && (programFailed || isAbort(error, signal.reason))) {
      this.#settleStopped(this.#abortReason(), end);
      return;
    }
    // What a program had to say stands in the log already.
    if (!programFailed) this.#systemLine(Level.ERROR, inspectError(error));
    const message = messageOf(error);
    if (signal.aborted) this.#settleStopped(`${this.#abortReason()} (while it stopped: ${message})`, end);
    else this.#settle(EndOutcome.FAILED, message, end);
  }

  /** Settles an attempt whose signal has aborted. */
  #settleStopped(reason: string, end: ProgramEnd): void {
    if (this.#overflow) this.#settle(EndOutcome.FAILED, messageOf(this.#overflow), end);
    else if (this.#levers.run.isCancelled) this.#settle(EndOutcome.CANCELED, reason, end);
    else if (this.#released) this.#settle(EndOutcome.RELEASED, reason, end);
    else this.#settle(EndOutcome.FAILED, reason, end);
  }

  #settle(outcome: EndOutcome, reason: string, { exitCode, signal }: ProgramEnd): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#progress.stalledBy = "";
    this.#close();
    this.log.close();
    if (outcome === EndOutcome.CANCELED) {
      this.#levers.run.cancelTookEffect();
      this.#changed();
    }
    const atUs = BigInt(this.#host.clock.wallUs());
    void this.log.drained.then(() => {
      this.#end = create(AttemptEndSchema, {
        outcome,
        reason: reason.slice(0, longestReason).toWellFormed(),
        ...(exitCode !== undefined && Number.isInteger(exitCode) ? { exitCode: exitCode | 0 } : {}),
        signal: signal ?? "",
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
    this.#look();
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

  #close(): void {
    clearTimeout(this.#graceTimer);
    clearTimeout(this.#holdTimer);
    this.#checkpoint.close();
    this.#input?.close();
    this.#wake.ring();
  }
}

/** An error as the log of its job shows it. */
function inspectError(error: unknown): string {
  return inspect(error, { depth: 4, maxStringLength: 10_000 }).slice(0, 50_000);
}

import { setImmediate as nextTurn } from "node:timers/promises";
import { create, toBinary, type JsonObject } from "@bufbuild/protobuf";
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
import {
  endOf,
  inspectError,
  outcomeOfError,
  outcomeOfReturn,
  outcomeOfGivingUp,
  outcomeOfStop,
  traceOf,
  type AttemptFate,
  type AttemptOutcome,
} from "./attempt-outcome.ts";
import { AttemptProgress } from "./attempt-progress.ts";
import { Bell, longestTimerMs } from "./bell.ts";
import { CheckpointBox } from "./checkpoint-box.ts";
import type { Clock } from "./clock.ts";
import { JobInput } from "./job-input.ts";
import { createJobLog } from "./job-log.ts";
import { JobCanceled, JobFenced, JobReleased, type Job, type JobDefinition, type LogOverflow } from "./job.ts";
import type { LineBudget } from "./line-budget.ts";
import type { HeldLines } from "./spool/line-queue.ts";
import type { SpoolNote } from "./spool/spool-note.ts";
import { damagedEndWords } from "./spool/spooled-log.ts";
import type { WorkerSpool } from "./spool/worker-spool.ts";
import { LineGuard } from "./redaction/line-guard.ts";
import type { Redactor } from "./redaction/redactor.ts";
import { masksWith } from "./masks.ts";
import { ResultsBox } from "./results-box.ts";
import { Steering } from "./steering.ts";

/** A job that has overrun the log has this long to end, milliseconds. */
const overflowGraceMs = 5000;
/** An exclusive job whose worker has lost its lease has this long to end, milliseconds. */
const leaseGraceMs = 5000;

/** What an attempt needs from its worker. */
export interface AttemptHost {
  readonly clock: Clock;
  readonly budget: LineBudget;
  /** Masks secrets in all that the server gets of the attempt; undefined: nothing is masked. */
  readonly redactor?: Redactor | undefined;
  /** Undefined: lines are in memory only. */
  readonly spool?: Pick<WorkerSpool, "attempt" | "config"> | undefined;
  /** The report has changed. */
  onChange(attempt: Attempt): void;
  /** The server is to hear how much input was taken. */
  onInputTaken(attempt: Attempt): void;
  /** Looks whether the worker's lease is over, and if so calls {@link Attempt.loseLease}. Called before a job goes on. */
  checkLease(): void;
}

/** What a job begins with, whoever began it. */
export interface AttemptBeginning {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly checkpoint?: Uint8Array;
  /** Until the server says what they are. */
  readonly parameters?: JsonObject;
  /** What another process has written of it into the spool. */
  readonly held?: HeldLines;
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
  readonly #progress = new AttemptProgress();
  readonly #guard: LineGuard | undefined;
  readonly #steering: Steering;
  readonly #input: JobInput | undefined;
  readonly #checkpoint = new CheckpointBox(() => this.#changed());
  readonly #results = new ResultsBox((text) => this.#masked(text));
  readonly #controller = new AbortController();
  /** Rings when a lever has moved, the signal has aborted, there is room for lines, or input. */
  readonly #wake = new Bell();
  #jobId = "";
  #number = 0;
  /** The job's own `cancel` has failed, so that its grace counts after all. */
  #cancelFailed = false;
  #started = false;
  /** Worker clock, microseconds; 0 while it has not begun. */
  #beganAtUs = 0;
  #settled = false;
  #fenced = false;
  #released = false;
  #overflow: LogOverflow | undefined;
  /** The abort has reached the job function through a safe point. */
  #interrupted = false;
  #end: AttemptEnd | undefined;
  #resolveOver: () => void = () => undefined;
  #graceTimer: NodeJS.Timeout | undefined;
  #graceEndsAtMs = Infinity;

  constructor(beginning: AttemptBeginning, definition: JobDefinition<never>, host: AttemptHost) {
    this.#beginning = beginning;
    this.#definition = definition;
    this.#host = host;
    this.over = new Promise((resolve) => (this.#resolveOver = resolve));
    this.#guard = host.redactor && new LineGuard(host.redactor);
    this.log = new AttemptLog({
      budget: host.budget,
      clock: host.clock,
      onRoom: () => this.#wake.ring(),
      guard: this.#guard,
      spool: host.spool?.attempt({ type: definition.type, name: beginning.name }),
      held: beginning.held,
      whenFull: host.spool?.config.whenFull,
    });
    if (definition.input)
      this.#input = new JobInput({ arrived: this.#wake, onTaken: () => this.#host.onInputTaken(this) });
    this.#steering = new Steering(definition, {
      clock: host.clock,
      log: this.log,
      progress: this.#progress,
      wake: this.#wake,
      parameters: beginning.parameters ?? {},
      throwIfAborted: () => this.#throwIfAborted(),
      isOver: () => this.#settled,
      onMoved: () => this.#changed(),
      onFault: (error) => this.#systemLine(Level.ERROR, inspectError(error)),
      onCancel: (graceMs, reason, by) => this.cancel(graceMs, reason, by),
    });
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
    if (spec.spec) this.#steering.receive(spec.spec);
  }

  /** The server knows the attempt by this spec. */
  bind(spec: AttemptSpec): void {
    this.#jobId = spec.jobId;
    this.#number = spec.attempt;
    this.receive(spec);
  }

  /** What its spool says of it has changed. */
  describe(part: Partial<SpoolNote>): void {
    this.log.describe(part);
  }

  /** Whether it was given up, and delivers what it still has as evidence. */
  get isFenced(): boolean {
    return this.#fenced;
  }

  /** Begins. */
  start(): void {
    // Of an attempt that the server knows the spec has said it.
    if (!this.#jobId) this.#steering.safePoints.setSpeed(this.#definition.defaultItemsPerSecond);
    void this.#run();
  }

  /** It has run in another process, and ended: what is left of it is delivered from here. Instead of `start`. */
  finish(end: AttemptEnd, beganAtUs: number): void {
    this.#started = true;
    this.#beganAtUs = beganAtUs;
    this.#settled = true;
    this.#close();
    const { held } = this.#beginning;
    if (held?.isEndDamaged) this.#systemLine(Level.WARN, damagedEndWords(held));
    this.log.close();
    this.#resolveOver();
    void this.log.drained.then(() => {
      this.#end = { ...end, endLine: BigInt(this.log.nextLine) };
      this.#changed();
    });
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
  cancel(graceMs: number, reason: string, by: string): void {
    if (this.#settled) return;
    this.#abort(new JobCanceled(reason, graceMs, by));
    this.#grace(graceMs);
    try {
      this.#steering.callCancel(graceMs, reason);
    } catch (error) {
      this.#cancelFailed = true;
      this.#systemLine(Level.ERROR, inspectError(error));
    }
  }

  /** The worker stops, for `reason`: the job has `graceMs` to end by itself. */
  release(graceMs: number, reason: string): void {
    if (this.#settled) return;
    this.#released = true;
    this.#abort(new JobReleased(reason, graceMs));
    this.#grace(graceMs);
  }

  /** The attempt was given up: stops at once. The lines that the server does not have, and the end, are delivered as evidence. */
  fence(reason: string): void {
    if (this.#fenced) return;
    this.#fenced = true;
    const fenced = new JobFenced(reason || "the attempt belongs to another worker");
    this.#settle({ outcome: EndOutcome.FAILED, reason: `stopped: ${fenced.message}`, program: {} });
    this.#abort(fenced);
  }

  /** Nobody delivers anything of it from here any more: stops at once, and leaves its lines in the spool, if there is one. */
  abandon(reason: string): void {
    this.#settled = true;
    this.#close();
    this.log.abandon();
    this.#abort(new JobFenced(reason));
  }

  /** Somebody else writes its log: stops at once, and its lines are forgotten. */
  discard(reason: string): void {
    this.#settled = true;
    this.#close();
    this.log.discard();
    this.#abort(new JobFenced(reason));
  }

  /** The worker's lease is over. A job that is exclusive stops: its lines stay, and its end is reported. */
  loseLease(reason: string): void {
    if (this.#settled || !this.#definition.exclusive) return;
    this.#released = true;
    this.#abort(new JobFenced(reason));
    this.#grace(leaseGraceMs);
  }

  /** No server will ever take its lines: they are forgotten, and the job goes on. */
  disown(): void {
    // What another process has left is still all that there is of it.
    if (this.#beginning.held) this.log.abandon();
    else this.log.discard();
    this.#wake.ring();
  }

  /** The whole state. With `whole` also a checkpoint that was sent before. */
  report({ whole }: { whole: boolean }): AttemptReport {
    const checkpoint = this.#checkpoint.take({ whole });
    return create(AttemptReportSchema, {
      jobId: this.jobId,
      attempt: this.number,
      started: this.#started,
      receivedGeneration: this.#steering.receivedGeneration,
      levers: this.#steering.reports().map((lever) => ({ ...lever, reason: this.#masked(lever.reason) })),
      ...(this.#end ? { end: this.#end } : {}),
      ...(checkpoint ? { checkpoint } : {}),
      nextLine: BigInt(this.log.nextLine),
      beganAtUs: BigInt(this.#beganAtUs),
    });
  }

  /** How far it is. To be called a few times a second: the rate is measured from call to call. */
  vitals(): AttemptVitals {
    const job = { stands: this.#steering.isStanding, ended: this.#settled };
    const vitals = this.#progress.vitals({ jobId: this.jobId, attempt: this.number }, this.#host.clock, job);
    vitals.stalledBy = this.#masked(vitals.stalledBy);
    vitals.redactions = BigInt(this.#guard?.count ?? 0);
    const safePointMs = this.#steering.usualWaitMs;
    if (safePointMs !== undefined) vitals.safePointMs = BigInt(Math.ceil(safePointMs));
    const { value } = this.#results;
    if (value) vitals.results = value;
    return vitals;
  }

  async #run(): Promise<void> {
    // A function that works long before its first `await` shall not keep the next messages waiting.
    await nextTurn();
    try {
      if (this.#settled) return;
      if (this.#controller.signal.aborted) {
        this.#settle(outcomeOfStop(this.#fate()));
        return;
      }
      this.#started = true;
      this.#beganAtUs = this.#host.clock.wallUs();
      this.#changed();
      // The cast is the one place where a job type's own parameters meet the general ones: the server has checked them.
      const end = await this.#definition.run(this.#job() as Job<never>);
      if (end?.results) this.#results.set(end.results);
      this.#settle(outcomeOfReturn(end ?? {}, this.#fate()));
    } catch (error) {
      const trace = this.#settled ? undefined : traceOf(error, this.#fate());
      if (trace !== undefined) this.#systemLine(Level.ERROR, trace);
      this.#settle(outcomeOfError(error, this.#fate()));
    } finally {
      this.#resolveOver();
    }
  }

  #job(): Job {
    const { name, labels, checkpoint } = this.#beginning;
    const id = () => this.#jobId;
    const attempt = () => this.#number;
    const parameters = () => this.#steering.parameters;
    const input = () => this.#pieces;
    const job: Job = {
      get id() {
        return id();
      },
      get attempt() {
        return attempt();
      },
      name,
      labels: { ...labels },
      get parameters() {
        return parameters();
      },
      saved: checkpoint && checkpoint.length > 0 ? checkpoint.slice() : undefined,
      log: createJobLog({
        log: this.log,
        boundBytes: this.#host.budget.boundBytes,
        ready: () => this.#steering.safePoints.roomForLines(),
        hasSettled: () => this.#settled,
        overflowed: (error) => {
          this.#overflow = error;
          this.#abort(error);
          this.#grace(overflowGraceMs);
        },
      }),
      signal: this.#controller.signal,
      progress: (progress) =>
        this.#progress.say(
          progress.phase === undefined ? progress : { ...progress, phase: this.#masked(progress.phase) },
        ),
      results: (results) => {
        if (!this.#settled) this.#results.set(results);
      },
      paced: (items) => this.#steering.safePoints.paced(items),
      checkpoint: async (save) => {
        if (save) this.#checkpoint.check(save);
        if (save && !this.#settled) this.#checkpoint.save(save);
        await this.#steering.safePoints.pass({ paced: false });
      },
      get input() {
        return input();
      },
      handle: (handlers) => this.#steering.handle(handlers),
    };
    masksWith(job, (text) => this.#masked(text));
    return job;
  }

  /** What people send in. Throws TypeError when it is read and the type takes none. */
  get #pieces(): AsyncIterable<Uint8Array> {
    return (
      this.#input?.pieces(this.#controller.signal) ?? {
        [Symbol.asyncIterator]: () => {
          throw new TypeError(`jobs of type ${this.#definition.type} take no input: define it with input`);
        },
      }
    );
  }

  #throwIfAborted(): void {
    if (this.#definition.exclusive) this.#host.checkLease();
    if (!this.#controller.signal.aborted) return;
    this.#interrupted = true;
    throw this.#controller.signal.reason as Error;
  }

  #abort(reason: Error): void {
    this.#steering.letGo();
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
    if (this.#steering.cancelsItself && !this.#cancelFailed && !this.#overflow) return;
    const outcome = outcomeOfGivingUp(this.#fate(), graceMs);
    this.#systemLine(Level.WARN, `The job was told to end: ${outcome.reason}.`);
    this.#settle(outcome);
    this.#resolveOver();
  }

  #fate(): AttemptFate {
    return {
      signal: this.#controller.signal,
      overflow: this.#overflow,
      interrupted: this.#interrupted,
      cancelled: this.#steering.isCancelled,
      released: this.#released,
    };
  }

  #settle(outcome: AttemptOutcome): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#progress.stalledBy = "";
    this.#close();
    this.log.close();
    if (outcome.outcome === EndOutcome.CANCELED) {
      this.#steering.cancelTookEffect();
      this.#changed();
    }
    const end = endOf(
      { ...outcome, reason: this.#masked(outcome.reason), results: this.#results.value },
      this.log.nextLine,
      this.#host.clock.wallUs(),
    );
    this.describe({ end: Buffer.from(toBinary(AttemptEndSchema, end)).toString("base64") });
    void this.log.drained.then(() => {
      this.#end = end;
      this.#changed();
    });
  }

  #masked(text: string): string {
    return this.#host.redactor?.text(text) ?? text;
  }

  #systemLine(level: Level, text: string): void {
    this.log.line(level, text, undefined, Source.SYSTEM);
  }

  #changed(): void {
    this.#host.onChange(this);
  }

  #close(): void {
    clearTimeout(this.#graceTimer);
    this.#steering.close();
    this.#checkpoint.close();
    this.#input?.close();
    this.#wake.ring();
  }
}

import type { JsonObject } from "@bufbuild/protobuf";
import type { JobSpec, LeverReport } from "@signalbox/protocol";
import type { AttemptLog } from "./attempt-log.ts";
import type { AttemptProgress } from "./attempt-progress.ts";
import { longestTimerMs, type Bell } from "./bell.ts";
import type { Clock } from "./clock.ts";
import { HandlerCalls } from "./handler-calls.ts";
import type { JobDefinition, JobHandlers } from "./job.ts";
import { defaultLevers, Levers } from "./levers.ts";
import { SafePoints } from "./safe-points.ts";

/** What steering acts on. */
export interface SteeringParts {
  readonly clock: Clock;
  readonly log: AttemptLog;
  readonly progress: AttemptProgress;
  /** Rings when a job that waits shall look again. */
  readonly wake: Bell;
  /** What the job works on before the server has said anything. */
  readonly parameters: JsonObject;
  /** Throws when the job shall end. */
  throwIfAborted(): void;
  /** The attempt has an outcome: nothing is steered any more. */
  isOver(): boolean;
  /** The report on a lever has changed. */
  onMoved(): void;
  /** A handler has failed that nobody waits for. */
  onFault(error: unknown): void;
  /** The job is canceled and has `graceMs`; called again when it has less. */
  onCancel(graceMs: number, reason: string, by: string): void;
}

/**
 * Steers one attempt: takes what is wanted of its levers, and puts it into effect, at the safe points of the job function or by the job's
 * own handlers.
 */
export class Steering {
  readonly safePoints: SafePoints;
  readonly #definition: JobDefinition<never>;
  readonly #parts: SteeringParts;
  readonly #levers: Levers;
  readonly #runCalls: HandlerCalls;
  readonly #parametersCalls: HandlerCalls;
  #handlers: JobHandlers | undefined;
  /** The job was told to end. */
  #ending = false;
  #holdTimer: NodeJS.Timeout | undefined;

  constructor(definition: JobDefinition<never>, parts: SteeringParts) {
    this.#definition = definition;
    this.#parts = parts;
    const { clock, log, parameters } = parts;
    const { type, levers: offered = defaultLevers, systemStop } = definition;
    this.#levers = new Levers(
      { type, offered, systemStop, parameters },
      {
        speed: (itemsPerSecond) => this.safePoints.setSpeed(itemsPerSecond),
        logLevel: (level) => {
          log.lowestLevel = level;
        },
        run: () => parts.wake.ring(),
        cancel: (graceMs, reason, by) => parts.onCancel(graceMs, reason, by),
        mark: () => log.mark(),
      },
      clock,
    );
    this.safePoints = this.#createSafePoints();
    const calls = { onMoved: () => this.#moved(), isOver: () => parts.isOver() };
    this.#runCalls = new HandlerCalls(this.#handledRun(), calls);
    this.#parametersCalls = new HandlerCalls(this.#handledParameters(), calls);
  }

  /** The parameters that are in effect. */
  get parameters(): JsonObject {
    return this.#levers.parameters.inEffect;
  }

  /** The newest spec generation received. */
  get receivedGeneration(): bigint {
    return this.#levers.receivedGeneration;
  }

  /** Whether the job stands because it is paused. */
  get isStanding(): boolean {
    return this.#levers.run.isStanding;
  }

  /** Whether CANCEL was received. */
  get isCancelled(): boolean {
    return this.#levers.run.isCancelled;
  }

  /** Whether the job ends by itself when it is told to, however long that takes. */
  get cancelsItself(): boolean {
    return this.#handlers?.cancel !== undefined;
  }

  /** How long a pause usually waits for a safe point, milliseconds; undefined if it is not known, or waits for none. */
  get usualWaitMs(): number | undefined {
    return this.#handlesRun ? undefined : this.safePoints.usualWaitMs;
  }

  /** The word on each lever. */
  reports(): LeverReport[] {
    return this.#levers.reports();
  }

  /** Takes a whole spec. Older generations and repetitions change nothing. */
  receive(spec: JobSpec): void {
    this.#levers.receive(spec);
    this.#moved();
  }

  /** The job has handlers of its own. They are called from its first `await` on. Throws TypeError. */
  handle(handlers: JobHandlers): void {
    const { type, systemStop = false } = this.#definition;
    if (this.#handlers) throw new TypeError(`job type ${type}: job.handle was called already`);
    if (handlers.parameters && !this.#levers.offers("parameters"))
      throw new TypeError(`job type ${type}: a handler for parameters needs the lever "parameters"`);
    if (handlers.pause && !this.#levers.offers("run"))
      throw new TypeError(`job type ${type}: a handler for pause needs the lever "run"`);
    if (handlers.resume && !handlers.pause) throw new TypeError(`job type ${type}: resume needs pause`);
    if (!handlers.stop !== !handlers.go) throw new TypeError(`job type ${type}: stop and go need each other`);
    if (handlers.stop && handlers.pause)
      throw new TypeError(`job type ${type}: pause waits for nothing: stop has nothing to do beside it`);
    if (handlers.stop && !systemStop) throw new TypeError(`job type ${type}: a handler for stop needs systemStop`);
    if (systemStop && !handlers.stop && !handlers.pause)
      throw new TypeError(`job type ${type}: systemStop needs handlers for stop and go, or for pause and resume`);
    this.#handlers = handlers;
    if (handlers.parameters) this.#levers.parameters.handle();
    queueMicrotask(() => {
      this.#look();
      const { cancel } = this.#levers.run;
      if (cancel && !this.#parts.isOver()) this.#parts.onCancel(cancel.graceMs, cancel.reason, cancel.by);
    });
  }

  /** The job is to be told to end: what the system has stopped is let go first, for it could not obey. */
  letGo(): void {
    this.#ending = true;
    const { run } = this.#levers;
    if (!run.isStopped) return;
    run.wasLetGo();
    void (async () => this.#handlers?.go?.())().catch((error: unknown) => this.#parts.onFault(error));
  }

  /** Tells the job's own handler, if it has one, that the job is canceled. Throws what it throws. */
  callCancel(graceMs: number, reason: string): void {
    this.#handlers?.cancel?.(graceMs, reason);
  }

  /** The attempt ends because of a cancel. */
  cancelTookEffect(): void {
    this.#levers.run.cancelTookEffect();
  }

  /** The attempt is over. */
  close(): void {
    clearTimeout(this.#holdTimer);
  }

  /** Whether the job's handlers put PAUSE and RUN into effect, and not its safe points. */
  get #handlesRun(): boolean {
    return this.#handlers?.pause !== undefined;
  }

  #createSafePoints(): SafePoints {
    const { run } = this.#levers;
    const { clock, log, progress, wake } = this.#parts;
    return new SafePoints({
      clock,
      log,
      progress,
      wake,
      throwIfAborted: () => this.#parts.throwIfAborted(),
      cancelsItself: () => this.cancelsItself,
      shallStand: () => (this.#handlesRun ? run.isStanding : run.shallStand),
      isStanding: () => !this.#handlesRun && run.isStanding,
      stand: () => {
        if (this.#handlesRun) return;
        run.stand();
        this.#moved();
      },
      goOn: () => {
        run.goOn();
        this.#moved();
      },
    });
  }

  #handledRun() {
    const { run } = this.#levers;
    return {
      begin: () => {
        const name = run.begin({ pause: this.#handlesRun, stop: this.#handlers?.stop !== undefined });
        return name && (() => this.#handlers?.[name]?.());
      },
      done: () => {
        run.done();
        if (this.#ending) this.letGo();
        this.safePoints.restart();
        this.#parts.wake.ring();
      },
      refused: (reason: string) => {
        run.refused(reason);
        this.#parts.wake.ring();
      },
    };
  }

  #handledParameters() {
    const { parameters } = this.#levers;
    return {
      begin: () => {
        const next = this.#handlers?.parameters && parameters.begin();
        return next && (() => this.#handlers?.parameters?.(next));
      },
      done: () => parameters.done(),
      refused: (reason: string) => parameters.refused(reason),
    };
  }

  #moved(): void {
    this.#look();
    this.#armHoldTimer();
    this.#parts.onMoved();
  }

  /** Calls the handlers of what is wanted. */
  #look(): void {
    this.#runCalls.look();
    this.#parametersCalls.look();
  }

  #armHoldTimer(): void {
    clearTimeout(this.#holdTimer);
    this.#holdTimer = undefined;
    const endMs = this.#levers.nextHoldEndMs;
    if (endMs === undefined || this.#parts.isOver()) return;
    const waitMs = Math.ceil(endMs - this.#parts.clock.monotonicMs());
    this.#holdTimer = setTimeout(
      () => {
        this.#levers.endHolds();
        this.#moved();
      },
      Math.min(Math.max(waitMs, 1), longestTimerMs),
    );
  }
}

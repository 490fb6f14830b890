import { LeverOutcome, RunMode, type LeverSetting, type LeverValue, type RunValue } from "@signalbox/protocol";
import type { Clock } from "./clock.ts";
import type { LeverWord, Moment, Wish } from "./lever-word.ts";

/** What the run lever does to the attempt. */
export interface RunEffects {
  /** What is asked for has changed: a job that stands looks again. */
  run(): void;
  /** End by yourself within `graceMs`; `by` is who asked, if that is known. Called again only with less time than there was left. */
  cancel(graceMs: number, reason: string, by: string): void;
  /** The number that the next line will have. */
  mark(): number;
}

/** A handler by which a job moves its run lever. */
export type RunHandler = "pause" | "resume" | "stop" | "go";

/**
 * The run lever of one attempt. PAUSE takes effect when the job stands, RUN when it goes on, and either is known in one of two ways: the
 * job comes to a safe point (`stand`, `goOn`), or it has handlers, of which one at a time is called (`begin`) and has an outcome
 * (`done`, `refused`). What is asked meanwhile waits, newest only. A job with safe points may have handlers besides by which the system
 * stops it at once: what they have stopped stands, whether it has come to a safe point or not, until they let it go.
 *
 * CANCEL latches: after it RUN, PAUSE and a CANCEL with more grace are refused, another CANCEL can only shorten the grace, and what a
 * handler still does changes nothing. It is in effect when the attempt ends by it (`cancelTookEffect`).
 */
export class RunLever {
  readonly #word: LeverWord;
  readonly #effects: RunEffects;
  readonly #clock: Clock;
  #standing = false;
  /** The system has stopped it. */
  #stopped = false;
  /** What is wanted and neither in effect nor under way. */
  #pending: Wish | undefined;
  /** What a handler is putting into effect. */
  #moving: Wish | undefined;
  #handler: RunHandler | undefined;
  #cancel: { setting: LeverSetting; endsAtMs: number; since: Moment } | undefined;

  constructor(word: LeverWord, effects: RunEffects, clock: Clock) {
    this.#word = word;
    this.#effects = effects;
    this.#clock = clock;
  }

  /** Whether the job shall stand at its next safe point. */
  get shallStand(): boolean {
    if (this.#cancel) return false;
    if (this.#stopped) return true;
    return modeOf((this.#pending ?? this.#moving)?.setting.value ?? this.#word.value) === RunMode.PAUSE;
  }

  /** Whether the job stands. */
  get isStanding(): boolean {
    return this.#standing;
  }

  /** Whether the system has stopped it: it must be let go before it can obey. */
  get isStopped(): boolean {
    return this.#stopped;
  }

  /** Whether CANCEL was received. */
  get isCancelled(): boolean {
    return this.#cancel !== undefined;
  }

  /** How long a job that was cancelled may still take, milliseconds, why, and by whom; undefined if it was not. */
  get cancel(): { graceMs: number; reason: string; by: string } | undefined {
    const value = this.#cancel?.setting.value?.value;
    if (!this.#cancel || value?.case !== "run") return undefined;
    return {
      graceMs: Math.max(0, this.#cancel.endsAtMs - this.#clock.monotonicMs()),
      reason: value.value.reason,
      by: this.#cancel.setting.setBy,
    };
  }

  /** Why a value comes too late: a cancel was received, and it is none or would give more grace; undefined if it does not. */
  faultAfterCancel(value: RunValue): "cancelling" | undefined {
    const standing = this.#cancel?.setting.value?.value;
    if (standing?.case !== "run") return undefined;
    const mayShorten = value.mode === RunMode.CANCEL && value.graceMs <= standing.value.graceMs;
    return mayShorten ? undefined : "cancelling";
  }

  /** Takes a value that has no fault, or the end of a hold. */
  want(wish: Wish): void {
    const value = wish.setting.value?.value;
    if (value?.case !== "run" || value.value.mode === RunMode.UNSPECIFIED) return;
    // What was asked for last counts, even before it has taken effect.
    this.#word.dropHold();
    if (value.value.mode === RunMode.CANCEL) {
      this.#receiveCancel(wish.setting, value.value);
      return;
    }
    this.#pending = wish;
    this.#settlePending();
    this.#effects.run();
  }

  /** The value has a fault, as one has that comes after CANCEL and does not shorten its grace. */
  refuse(setting: LeverSetting, reason: string): void {
    if (this.#cancel) this.cancelTookEffect();
    this.#word.reject(setting, reason);
  }

  /** The job stands at a safe point. */
  stand(): void {
    this.#standing = true;
    this.#settlePending();
  }

  /** The job goes on from a safe point. */
  goOn(): void {
    this.#standing = false;
    this.#settlePending();
  }

  /**
   * The handler that is to be called now, of a job that has some; undefined while one is at work, if there is nothing to do, or if a safe
   * point does it.
   */
  begin(has: { pause: boolean; stop: boolean }): RunHandler | undefined {
    if (this.#cancel || this.#moving || !this.#pending) return undefined;
    const handler = this.#handlerFor(this.#pending.setting.value, has);
    if (!handler) return undefined;
    this.#moving = this.#pending;
    this.#handler = handler;
    this.#pending = undefined;
    return handler;
  }

  /** The handler has done it. */
  done(): void {
    const moved = this.#moving;
    if (!moved) return;
    this.#moving = undefined;
    this.#standing = modeOf(moved.setting.value) === RunMode.PAUSE;
    if (this.#handler === "stop") this.#stopped = true;
    if (this.#handler === "go") this.#stopped = false;
    if (this.#cancel) return;
    this.#word.apply(moved);
    if (this.#pending) this.#word.dropHold();
    this.#settlePending();
  }

  /** The handler has refused, or failed: the job does what it did before. */
  refused(reason: string): void {
    const moved = this.#moving;
    if (!moved) return;
    this.#moving = undefined;
    if (this.#cancel) return;
    this.#word.refuse(moved, reason);
    this.#settlePending();
  }

  /** What the system had stopped was let go, because the job shall end. */
  wasLetGo(): void {
    this.#stopped = false;
  }

  /** The cancel is in effect: the attempt ends because of it. */
  cancelTookEffect(): void {
    if (!this.#cancel) return;
    const { setting, since } = this.#cancel;
    this.#word.apply({ setting, outcome: LeverOutcome.APPLIED }, since);
  }

  #handlerFor(value: LeverValue | undefined, has: { pause: boolean; stop: boolean }): RunHandler | undefined {
    const isPause = modeOf(value) === RunMode.PAUSE;
    if (has.pause) return isPause ? "pause" : "resume";
    if (isPause) return has.stop && isBySystem(value) ? "stop" : undefined;
    return this.#stopped ? "go" : undefined;
  }

  /** What is asked of a job that does it already is in effect at once. */
  #settlePending(): void {
    const pending = this.#pending;
    if (!pending || this.#moving) return;
    if ((modeOf(pending.setting.value) === RunMode.PAUSE) !== this.#standing) return;
    this.#pending = undefined;
    this.#word.apply(pending);
  }

  #receiveCancel(setting: LeverSetting, { graceMs, reason }: RunValue): void {
    const endsAtMs = this.#clock.monotonicMs() + graceMs;
    const before = this.#cancel;
    const sooner = !before || endsAtMs < before.endsAtMs;
    this.#cancel = {
      setting,
      endsAtMs: sooner ? endsAtMs : before.endsAtMs,
      since: before?.since ?? { atLine: this.#effects.mark(), atUs: this.#clock.wallUs() },
    };
    this.#pending = undefined;
    this.#word.dropRejection();
    // Stated already: then the newer generation is in effect as well.
    if (modeOf(this.#word.value) === RunMode.CANCEL) this.cancelTookEffect();
    if (sooner) this.#effects.cancel(graceMs, reason, setting.setBy);
  }
}

/** Whether the system shall stop the job, without a safe point. */
export function isBySystem(value: LeverValue | undefined): boolean {
  return value?.value.case === "run" && value.value.value.bySystem;
}

function modeOf(value: LeverValue | undefined): RunMode {
  return value?.value.case === "run" ? value.value.value.mode : RunMode.UNSPECIFIED;
}

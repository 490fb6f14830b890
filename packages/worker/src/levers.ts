import { create, equals } from "@bufbuild/protobuf";
import {
  Level,
  LeverOutcome,
  LeverReportSchema,
  LeverSettingSchema,
  LeverValueSchema,
  RunMode,
  type Hold,
  type JobSpec,
  type LeverReport,
  type LeverSetting,
  type LeverValue,
  type RunValue,
} from "@signalbox/protocol";
import type { Clock } from "./clock.ts";

/** The levers that a job type can obey, besides CANCEL, which every job obeys. */
export type LeverName = "run" | "speed" | "log_level";
export const leverNames: readonly LeverName[] = ["run", "speed", "log_level"];

type LeverCase = NonNullable<LeverValue["value"]["case"]>;

/** What moving levers does to a running attempt. */
export interface LeverEffects {
  /** Items per second; undefined is unlimited. */
  speed(itemsPerSecond: number | undefined): void;
  /** Lowest level that is sent. */
  logLevel(level: Level): void;
  /** What the run lever asks for has changed: a job that stands looks again. */
  run(): void;
  /** End by yourself within `graceMs`. Called again only with less time than there was left. */
  cancel(graceMs: number, reason: string): void;
  /** The number that the next line will have. */
  mark(): number;
}

interface Lever {
  /** The newest generation received. */
  received: bigint;
  /** The value in effect. */
  applied?: LeverReport;
  /** A newer generation that was refused. */
  rejected?: LeverReport;
  /** How long the value in effect holds. */
  hold?: { atMs: number; then: LeverValue };
}

/**
 * The levers of one attempt: takes whole specs, puts into effect what it can at once, and keeps the report on each lever. Repeated and
 * older specs change nothing.
 *
 * PAUSE takes effect when the job stands (`stand`), RUN when it goes on (`goOn`). CANCEL latches: after it RUN and PAUSE are refused,
 * and another CANCEL can only shorten the grace; it takes effect when the attempt ends by it (`cancelTookEffect`).
 */
export class Levers {
  readonly #offered: ReadonlySet<LeverName>;
  readonly #type: string;
  readonly #effects: LeverEffects;
  readonly #clock: Clock;
  readonly #levers = new Map<LeverCase, Lever>();
  #receivedGeneration = 0n;
  #standing = false;
  /** A run value that waits for a safe point, or for the job to go on. */
  #runPending: { setting: LeverSetting; outcome: LeverOutcome } | undefined;
  #cancel: { setting: LeverSetting; endsAtMs: number; atLine: number; atUs: number } | undefined;

  constructor(type: string, offered: Iterable<LeverName>, effects: LeverEffects, clock: Clock) {
    this.#type = type;
    this.#offered = new Set(offered);
    this.#effects = effects;
    this.#clock = clock;
  }

  /** The newest spec generation received. */
  get receivedGeneration(): bigint {
    return this.#receivedGeneration;
  }

  /** Whether the job shall stand at its next safe point. */
  get shallStand(): boolean {
    if (this.#cancel) return false;
    const wanted = this.#runPending?.setting.value ?? this.#levers.get("run")?.applied?.value;
    return modeOf(wanted) === RunMode.PAUSE;
  }

  /** Whether the job stands. */
  get isStanding(): boolean {
    return this.#standing;
  }

  /** Whether CANCEL was received. */
  get isCancelled(): boolean {
    return this.#cancel !== undefined;
  }

  /** When the next held value runs out, on the monotonic clock; undefined if none holds. */
  get nextHoldEndMs(): number | undefined {
    const ends = [...this.#levers.values()].flatMap(({ hold }) => (hold ? [hold.atMs] : []));
    return ends.length > 0 ? Math.min(...ends) : undefined;
  }

  /**
   * The word on each lever: the value in effect, and behind it, if there is one, the newer one that was refused. The server needs the
   * first to go back to it when it hears the second.
   */
  reports(): LeverReport[] {
    return [...this.#levers.values()].flatMap(({ applied, rejected }) => [
      ...(applied ? [applied] : []),
      ...(rejected ? [rejected] : []),
    ]);
  }

  /** Takes a whole spec. */
  receive(spec: JobSpec): void {
    if (spec.generation > this.#receivedGeneration) this.#receivedGeneration = spec.generation;
    for (const setting of spec.levers) this.#receiveSetting(setting);
  }

  /** The job stands at a safe point. */
  stand(): void {
    this.#standing = true;
    const pending = this.#runPending;
    if (!pending || modeOf(pending.setting.value) !== RunMode.PAUSE) return;
    this.#runPending = undefined;
    this.#apply(pending.setting, pending.outcome);
  }

  /** The job goes on from a safe point. */
  goOn(): void {
    this.#standing = false;
    const pending = this.#runPending;
    if (!pending || modeOf(pending.setting.value) !== RunMode.RUN) return;
    this.#runPending = undefined;
    this.#apply(pending.setting, pending.outcome);
  }

  /** The attempt ends because of CANCEL. */
  cancelTookEffect(): void {
    if (this.#cancel) this.#stateCancel();
  }

  /** Puts back the values whose time has run out. */
  endHolds(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const lever of this.#levers.values()) {
      const { hold, applied } = lever;
      if (!hold || !applied || hold.atMs > nowMs) continue;
      delete lever.hold;
      const setting = create(LeverSettingSchema, { generation: applied.generation, value: hold.then });
      if (hold.then.value.case === "run") this.#wantRun(setting, LeverOutcome.REVERTED);
      else this.#apply(setting, LeverOutcome.REVERTED);
    }
  }

  #receiveSetting(setting: LeverSetting): void {
    const { value, generation } = setting;
    const name = value?.value.case;
    // A lever that this SDK does not know has no case; priority orders the queue and is none of a worker's business.
    if (!value || !name || name === "priority") return;
    const lever = this.#lever(name);
    if (generation <= lever.received) return;
    lever.received = generation;
    const fault = this.#fault(value, lever);
    if (fault !== undefined) {
      if (name === "run" && this.#cancel) this.#stateCancel();
      lever.rejected = this.#report(setting, LeverOutcome.REJECTED, fault);
      return;
    }
    if (name === "run") this.#wantRun(setting, LeverOutcome.APPLIED);
    else this.#apply(setting, LeverOutcome.APPLIED);
  }

  #wantRun(setting: LeverSetting, outcome: LeverOutcome): void {
    const value = setting.value?.value;
    if (value?.case !== "run") return;
    // What was asked for last counts, even before it has taken effect.
    delete this.#lever("run").hold;
    switch (value.value.mode) {
      case RunMode.CANCEL:
        this.#receiveCancel(setting, value.value);
        return;
      case RunMode.PAUSE:
        // A pause on top of a pause takes effect at once.
        if (this.#standing && !this.#runPending) this.#apply(setting, outcome);
        else this.#runPending = { setting, outcome };
        break;
      case RunMode.RUN:
        if (this.#standing) this.#runPending = { setting, outcome };
        else {
          this.#runPending = undefined;
          this.#apply(setting, outcome);
        }
        break;
      case RunMode.UNSPECIFIED:
        return;
    }
    this.#effects.run();
  }

  #receiveCancel(setting: LeverSetting, { graceMs, reason }: RunValue): void {
    const endsAtMs = this.#clock.monotonicMs() + graceMs;
    const before = this.#cancel;
    const sooner = !before || endsAtMs < before.endsAtMs;
    this.#cancel = {
      setting,
      endsAtMs: sooner ? endsAtMs : before.endsAtMs,
      atLine: before?.atLine ?? this.#effects.mark(),
      atUs: before?.atUs ?? this.#clock.wallUs(),
    };
    this.#runPending = undefined;
    const run = this.#lever("run");
    delete run.hold;
    delete run.rejected;
    // Stated already: then the newer generation is in effect as well.
    if (modeOf(run.applied?.value) === RunMode.CANCEL) this.#stateCancel();
    if (sooner) this.#effects.cancel(graceMs, reason);
  }

  #stateCancel(): void {
    const cancel = this.#cancel;
    if (!cancel) return;
    this.#lever("run").applied = create(LeverReportSchema, {
      generation: cancel.setting.generation,
      ...(cancel.setting.value ? { value: cancel.setting.value } : {}),
      outcome: LeverOutcome.APPLIED,
      atLine: BigInt(cancel.atLine),
      atUs: BigInt(cancel.atUs),
    });
  }

  #apply(setting: LeverSetting, outcome: LeverOutcome): void {
    const value = setting.value;
    if (!value?.value.case) return;
    const lever = this.#lever(value.value.case);
    lever.applied = this.#report(setting, outcome, "");
    delete lever.rejected;
    delete lever.hold;
    if (setting.hold?.then)
      lever.hold = { atMs: this.#clock.monotonicMs() + holdMs(setting.hold), then: setting.hold.then };
    if (value.value.case === "speed") this.#effects.speed(value.value.value.itemsPerSecond);
    if (value.value.case === "logLevel") this.#effects.logLevel(value.value.value.level);
  }

  #report(setting: LeverSetting, outcome: LeverOutcome, reason: string): LeverReport {
    return create(LeverReportSchema, {
      generation: setting.generation,
      ...(setting.value ? { value: setting.value } : {}),
      outcome,
      reason,
      atLine: BigInt(this.#effects.mark()),
      atUs: BigInt(this.#clock.wallUs()),
    });
  }

  /** Why a value cannot be put into effect; undefined if it can. */
  #fault(wanted: LeverValue, lever: Lever): string | undefined {
    const { value } = wanted;
    switch (value.case) {
      case "run":
        if (value.value.mode === RunMode.CANCEL) return undefined;
        if (this.#cancel) return "cancelling";
        if (value.value.mode === RunMode.RUN) return undefined;
        if (value.value.mode === RunMode.UNSPECIFIED) return "the run lever has no such position";
        return this.#offered.has("run") ? undefined : `jobs of type ${this.#type} cannot be paused`;
      case "speed": {
        if (!this.#offered.has("speed")) return `jobs of type ${this.#type} have no speed lever`;
        const speed = value.value.itemsPerSecond;
        return speed === undefined || (speed > 0 && Number.isFinite(speed))
          ? undefined
          : `a speed is above 0 items per second, not ${speed}`;
      }
      case "logLevel":
        if (!this.#offered.has("log_level")) return `jobs of type ${this.#type} have no log level lever`;
        return value.value.level === Level.UNSPECIFIED ? "a log level is needed" : undefined;
      case "parameters":
        // The first ones are what the attempt starts with.
        if (!lever.applied?.value || equals(LeverValueSchema, lever.applied.value, wanted)) return undefined;
        return `the parameters of a running job of type ${this.#type} cannot be changed`;
      case "priority":
      case undefined:
        return undefined;
    }
  }

  #lever(name: LeverCase): Lever {
    let lever = this.#levers.get(name);
    if (!lever) {
      lever = { received: 0n };
      this.#levers.set(name, lever);
    }
    return lever;
  }
}

/** What remains of a hold: all of it until the value was applied once, here or in an attempt before. */
function holdMs({ remainingMs, durationMs, endsAtUs }: Hold): number {
  return Number(endsAtUs === 0n ? durationMs : remainingMs);
}

function modeOf(value: LeverValue | undefined): RunMode {
  return value?.value.case === "run" ? value.value.value.mode : RunMode.UNSPECIFIED;
}

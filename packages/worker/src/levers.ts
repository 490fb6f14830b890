import type { JsonObject } from "@bufbuild/protobuf";
import {
  Level,
  LeverOutcome,
  RunMode,
  speedFault,
  type JobSpec,
  type LeverReport,
  type LeverSetting,
  type LeverValue,
} from "@signalbox/protocol";
import type { Clock } from "./clock.ts";
import { LeverWord, type Wish } from "./lever-word.ts";
import { ParametersLever } from "./parameters-lever.ts";
import { isBySystem, RunLever, type RunEffects } from "./run-lever.ts";

/** The levers that a job type can obey, besides CANCEL, which every job obeys. */
export type LeverName = "run" | "speed" | "log_level" | "parameters";
export const leverNames: readonly LeverName[] = ["run", "speed", "log_level", "parameters"];
/** What jobs obey without saying so: what the SDK does by itself. */
export const defaultLevers: readonly LeverName[] = ["run", "speed", "log_level"];

/** What moving levers does to a running attempt. */
export interface LeverEffects extends RunEffects {
  /** Items per second; undefined is unlimited. */
  speed(itemsPerSecond: number | undefined): void;
  /** Lowest level that is sent. */
  logLevel(level: Level): void;
}

/** What an attempt's levers belong to. */
export interface LeversOf {
  readonly type: string;
  readonly offered: Iterable<LeverName>;
  /** The system can stop jobs of the type. Default: no. */
  readonly systemStop?: boolean | undefined;
  /** What the job works on before the server has said anything. */
  readonly parameters?: JsonObject;
}

/**
 * The levers of one attempt: takes whole specs, puts into effect what it can at once, and keeps the report on each lever. Repeated and
 * older specs change nothing. The run and parameters levers may wait for the job: see there.
 */
export class Levers {
  readonly run: RunLever;
  readonly parameters: ParametersLever;
  readonly #offered: ReadonlySet<LeverName>;
  readonly #type: string;
  readonly #systemStop: boolean;
  readonly #effects: LeverEffects;
  readonly #words: Readonly<Record<"run" | "parameters" | "speed" | "logLevel", LeverWord>>;
  #receivedGeneration = 0n;

  constructor({ type, offered, systemStop = false, parameters = {} }: LeversOf, effects: LeverEffects, clock: Clock) {
    this.#type = type;
    this.#offered = new Set(offered);
    this.#systemStop = systemStop;
    this.#effects = effects;
    const word = () => new LeverWord(clock, () => effects.mark());
    this.#words = { run: word(), parameters: word(), speed: word(), logLevel: word() };
    this.run = new RunLever(this.#words.run, effects, clock);
    this.parameters = new ParametersLever(this.#words.parameters, parameters);
  }

  /** The newest spec generation received. */
  get receivedGeneration(): bigint {
    return this.#receivedGeneration;
  }

  /** When the next held value runs out, on the monotonic clock; undefined if none holds. */
  get nextHoldEndMs(): number | undefined {
    const ends = Object.values(this.#words).flatMap(({ holdEndMs }) => holdEndMs ?? []);
    return ends.length > 0 ? Math.min(...ends) : undefined;
  }

  /** The word on each lever. */
  reports(): LeverReport[] {
    return Object.values(this.#words).flatMap((word) => word.reports());
  }

  /** Whether jobs of the type obey a lever. */
  offers(lever: LeverName): boolean {
    return this.#offered.has(lever);
  }

  /** Takes a whole spec. */
  receive(spec: JobSpec): void {
    if (spec.generation > this.#receivedGeneration) this.#receivedGeneration = spec.generation;
    for (const setting of spec.levers) this.#receiveSetting(setting);
  }

  /** Puts back the values whose time has run out. */
  endHolds(): void {
    for (const word of Object.values(this.#words)) {
      const wish = word.takeEndedHold();
      if (wish) this.#want(wish);
    }
  }

  #receiveSetting(setting: LeverSetting): void {
    const { value } = setting;
    const name = value?.value.case;
    // A lever that this SDK does not know has no case; priority orders the queue and is none of a worker's business.
    if (!value || !name || name === "priority") return;
    if (!this.#words[name].receive(setting.generation)) return;
    const fault = this.#fault(value);
    if (fault === undefined) this.#want({ setting, outcome: LeverOutcome.APPLIED });
    else if (name === "run") this.run.refuse(setting, fault);
    else this.#words[name].reject(setting, fault);
  }

  #want(wish: Wish): void {
    const value = wish.setting.value?.value;
    switch (value?.case) {
      case "run":
        this.run.want(wish);
        return;
      case "parameters":
        this.parameters.want(wish);
        return;
      case "speed":
        this.#words.speed.apply(wish);
        this.#effects.speed(value.value.itemsPerSecond);
        return;
      case "logLevel":
        this.#words.logLevel.apply(wish);
        this.#effects.logLevel(value.value.level);
        return;
      case "priority":
      case undefined:
        return;
    }
  }

  /** Why a value cannot be put into effect; undefined if it can. */
  #fault(wanted: LeverValue): string | undefined {
    const { value } = wanted;
    switch (value.case) {
      case "run":
        if (this.run.isCancelled) return this.run.faultAfterCancel(value.value);
        if (value.value.mode === RunMode.CANCEL || value.value.mode === RunMode.RUN) return undefined;
        if (value.value.mode === RunMode.UNSPECIFIED) return "the run lever has no such position";
        if (!this.offers("run")) return `jobs of type ${this.#type} cannot be paused`;
        return isBySystem(wanted) && !this.#systemStop
          ? `jobs of type ${this.#type} cannot be stopped by the system`
          : undefined;
      case "speed": {
        if (!this.offers("speed")) return `jobs of type ${this.#type} have no speed lever`;
        const speed = value.value.itemsPerSecond;
        const wrong = speed !== undefined && speedFault(speed);
        return wrong ? `a speed of ${speed} ${wrong}` : undefined;
      }
      case "logLevel":
        if (!this.offers("log_level")) return `jobs of type ${this.#type} have no log level lever`;
        return value.value.level === Level.UNSPECIFIED ? "a log level is needed" : undefined;
      case "parameters":
        // The first ones are what the attempt starts with.
        if (this.offers("parameters") || this.parameters.isNoChange(wanted)) return undefined;
        return `the parameters of a running job of type ${this.#type} cannot be changed`;
      case "priority":
      case undefined:
        return undefined;
    }
  }
}

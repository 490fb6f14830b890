import { clone, create } from "@bufbuild/protobuf";
import {
  HoldSchema,
  Level,
  LeverSettingSchema,
  LeverValueSchema,
  RunMode,
  speedFault,
  type Hold,
  type JobSpec,
  type JobType,
  type LeverSetting,
  type LeverValue,
} from "@signalbox/protocol";
import { Refused, type RefusalKind } from "../refused.ts";

/** The levers of a job. */
export type Lever = "run" | "speed" | "logLevel" | "priority" | "parameters";

const longestReason = 500;
const largestPriority = 100;
const longestHoldMs = 366n * 86_400_000n;

/** Which lever a value belongs to. Throws Refused if it names none. */
export function leverOf(value: LeverValue | undefined): Lever {
  const lever = value?.value.case;
  if (!lever)
    throw new Refused("invalid", "The command names no lever: set one of run, speed, log_level, priority, parameters.");
  return lever;
}

/** Whether a value asks for the end of the job. */
export function isCancel(value: LeverValue | undefined): boolean {
  return graceOf(value) !== undefined;
}

/** How long a cancel lets the job end by itself, milliseconds; undefined for a value that is no cancel. */
export function graceOf(value: LeverValue | undefined): number | undefined {
  const run = value?.value.case === "run" ? value.value.value : undefined;
  return run?.mode === RunMode.CANCEL ? run.graceMs : undefined;
}

/** The setting of a lever, if it was ever set. */
export function settingOf(spec: JobSpec | undefined, lever: Lever): LeverSetting | undefined {
  return spec?.levers.find((setting) => setting.value?.value.case === lever);
}

/** What the run lever asks for; RUN where it was never set. */
export function wantedRun(spec: JobSpec | undefined): RunMode {
  const value = settingOf(spec, "run")?.value?.value;
  return value?.case === "run" ? value.value.mode : RunMode.RUN;
}

/** The place in the queue that is asked for. */
export function wantedPriority(spec: JobSpec | undefined): number {
  const value = settingOf(spec, "priority")?.value?.value;
  return value?.case === "priority" ? value.value.priority : 0;
}

/**
 * The value in the form in which it is stored and delivered: a verbosity becomes the level that it stands for. Throws Refused for one that
 * stands for none.
 */
export function plainLeverValue(value: LeverValue): LeverValue {
  if (value.value.case !== "logLevel") return value;
  const { level, verbosity } = value.value.value;
  if (verbosity === undefined) return value;
  if (level !== Level.UNSPECIFIED)
    throw new Refused("invalid", "The log level has both `level` and `verbosity`: set one of them.");
  const named = verbosities[verbosity];
  if (named === undefined)
    throw new Refused("invalid", `Verbosity ${verbosity} is none: 0 is ERROR, 1 is INFO, 2 is DEBUG.`);
  return create(LeverValueSchema, { value: { case: "logLevel", value: { level: named } } });
}

/** The levels of the simplest clients, by verbosity. */
const verbosities = [Level.ERROR, Level.INFO, Level.DEBUG];

/** Puts a value on its lever with the spec's next generation, and returns that. Changes `spec`. */
export function setLever(spec: JobSpec, value: LeverValue, hold?: Hold): bigint {
  const lever = leverOf(value);
  spec.generation += 1n;
  const setting = create(LeverSettingSchema, { generation: spec.generation, value, ...(hold ? { hold } : {}) });
  const at = spec.levers.findIndex((each) => each.value?.value.case === lever);
  if (at < 0) spec.levers.push(setting);
  else spec.levers[at] = setting;
  return spec.generation;
}

/**
 * Puts a lever back to a value that it had, or to its rest, under the spec's next generation. A value that held for a time holds for what
 * remains; if nothing remains, what was to follow it counts. Changes `spec`. `now` is server clock, microseconds.
 */
export function giveBack(
  spec: JobSpec,
  lever: Lever,
  before: LeverValue | undefined,
  hold: Hold | undefined,
  now: number,
): void {
  const isOver = hold !== undefined && hold.endsAtUs !== 0n && hold.endsAtUs <= BigInt(now);
  if (isOver) setLever(spec, hold.then ?? restValue(lever));
  else setLever(spec, before ?? restValue(lever), hold && clone(HoldSchema, hold));
}

/** Takes a lever that was never set before out of the spec again, under the spec's next generation. Changes `spec`. */
export function removeLever(spec: JobSpec, lever: Lever): void {
  spec.generation += 1n;
  spec.levers = spec.levers.filter((each) => each.value?.value.case !== lever);
}

/** Throws Refused unless jobs of the type obey the lever. The run lever holds a job in the queue, whatever its type. */
export function checkLeverOfType(type: JobType, lever: Lever, kind: RefusalKind): void {
  const name = lever === "speed" || lever === "logLevel" ? leverWords[lever] : undefined;
  if (name && !type.levers.includes(name))
    throw new Refused(kind, `Jobs of type '${type.name}' have no ${name.replace("_", " ")} lever.`);
}

/** Throws Refused for a stop by the system, unless jobs of the type can be stopped by it. */
export function checkSystemStop(type: JobType | undefined, { value }: LeverValue, kind: RefusalKind): void {
  if (value.case !== "run" || !value.value.bySystem || type?.systemStop) return;
  throw new Refused(
    kind,
    type
      ? `The system cannot stop jobs of type '${type.name}' where they stand. Pause without by_system: they stop at their next safe point.`
      : "Nothing is known of the job's type, so the system cannot stop it where it stands. Pause without by_system.",
  );
}

const leverWords = { speed: "speed", logLevel: "log_level" } as const;

/** Throws Refused, naming the bound, unless the value is one that its lever can take at all. */
export function checkLeverValue(value: LeverValue | undefined): void {
  const { value: set } = value ?? {};
  switch (set?.case) {
    case "run":
      // An enum of protobuf takes any number.
      if (set.value.mode < RunMode.RUN || set.value.mode > RunMode.CANCEL)
        throw new Refused("invalid", "The run lever takes RUN, PAUSE or CANCEL; the mode is not set.");
      if (set.value.bySystem && set.value.mode !== RunMode.PAUSE)
        throw new Refused("invalid", "The system stops jobs, it does not run or end them: by_system belongs to PAUSE.");
      if (set.value.reason.length > longestReason) {
        throw new Refused(
          "invalid",
          `The reason has ${set.value.reason.length} characters, at most ${longestReason} are kept.`,
        );
      }
      return;
    case "speed": {
      const speed = set.value.itemsPerSecond;
      const fault = speed !== undefined && speedFault(speed);
      if (fault)
        throw new Refused(
          "invalid",
          `Speed ${speed} ${fault}. To stand still use Pause; to run freely leave it unset.`,
        );
      return;
    }
    case "logLevel":
      if (set.value.level < Level.TRACE || set.value.level > Level.FATAL)
        throw new Refused("invalid", "The log level is not set: choose TRACE to FATAL.");
      return;
    case "priority":
      if (Math.abs(set.value.priority) > largestPriority) {
        throw new Refused(
          "invalid",
          `Priority ${set.value.priority} is not between -${largestPriority} and ${largestPriority}.`,
        );
      }
      return;
    case "parameters":
      if (!set.value.parameters) throw new Refused("invalid", "The parameters are not set: send the whole object.");
      return;
    case undefined:
      leverOf(value);
  }
}

/** Throws Refused unless a hold has a duration and ends on a value of the same lever, if it says on which. */
export function checkHold(value: LeverValue, hold: Hold | undefined): void {
  if (!hold) return;
  if (hold.durationMs < 1n) throw new Refused("invalid", "A value cannot be held for 0 ms: give a duration.");
  if (hold.durationMs > longestHoldMs)
    throw new Refused("invalid", `A value can be held for at most ${longestHoldMs} ms, not ${hold.durationMs}.`);
  if (isCancel(value)) throw new Refused("invalid", "A cancel is for good: it cannot be held for a time.");
  if (!hold.then) return;
  if (leverOf(hold.then) !== leverOf(value))
    throw new Refused("invalid", "The value after the hold belongs to another lever.");
  checkLeverValue(hold.then);
  if (isCancel(hold.then))
    throw new Refused("invalid", "A cancel is for good, and nobody would see it asked: it cannot follow a hold.");
}

/** What a lever stands on when nobody has moved it. */
export function restValue(lever: Lever): LeverValue {
  switch (lever) {
    case "run":
      return create(LeverValueSchema, { value: { case: "run", value: { mode: RunMode.RUN } } });
    case "speed":
      return create(LeverValueSchema, { value: { case: "speed", value: {} } });
    case "logLevel":
      return create(LeverValueSchema, { value: { case: "logLevel", value: { level: Level.TRACE } } });
    case "priority":
      return create(LeverValueSchema, { value: { case: "priority", value: {} } });
    case "parameters":
      return create(LeverValueSchema, { value: { case: "parameters", value: { parameters: {} } } });
  }
}

import { create } from "@bufbuild/protobuf";
import { Level, LeverValueSchema, type LeverValue } from "@signalbox/protocol";

/** Levels as people choose them, the fewest lines first. */
export const levelNames = [
  { level: Level.FATAL, name: "FATAL" },
  { level: Level.ERROR, name: "ERROR" },
  { level: Level.WARN, name: "WARN" },
  { level: Level.INFO, name: "INFO" },
  { level: Level.DEBUG, name: "DEBUG" },
  { level: Level.TRACE, name: "TRACE" },
] as const;

/** For how long a level counts, milliseconds; 0: for good. */
export const levelDurations = [
  { ms: 0, name: "for good" },
  { ms: 60_000, name: "1 min" },
  { ms: 600_000, name: "10 min" },
  { ms: 3_600_000, name: "1 h" },
] as const;

/** The level of a log level's value. A lever that was never set lets every line through. */
export function levelOf(value: LeverValue | undefined): Level {
  return value?.value.case === "logLevel" ? value.value.value.level : Level.TRACE;
}

/** A level in words. */
export function levelName(level: Level): string {
  return levelNames.find((each) => each.level === level)?.name ?? "TRACE";
}

/** The value that sets a level. */
export function logLevelValue(level: Level): LeverValue {
  return create(LeverValueSchema, { value: { case: "logLevel", value: { level } } });
}

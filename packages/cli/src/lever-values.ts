import { create, type JsonObject } from "@bufbuild/protobuf";
import { Level, LeverValueSchema, RunMode, speedFault, type LeverValue } from "@signalbox/protocol";
import { duration, rate } from "@signalbox/protocol/format";
import { setting, type LeverName } from "@signalbox/protocol/job-state";
import type { JobRecord } from "@signalbox/protocol";
import { usageError } from "./exit-codes.ts";
import { levelChoices } from "./words.ts";

/** RUN, PAUSE (at a safe point, or by the system), or CANCEL with its grace in milliseconds. */
export function runValue(mode: RunMode, reason = "", graceMs = 0, bySystem = false): LeverValue {
  return create(LeverValueSchema, { value: { case: "run", value: { mode, reason, graceMs, bySystem } } });
}

/** `20`, `20/s`, `0.5`, `unlimited`. Throws CliError. */
export function speedValue(text: string): LeverValue {
  const value = (itemsPerSecond?: number) =>
    create(LeverValueSchema, {
      value: { case: "speed", value: itemsPerSecond === undefined ? {} : { itemsPerSecond } },
    });
  if (text === "unlimited") return value();
  const number = /^(\d+(?:\.\d+)?)(?:\/s)?$/.exec(text)?.[1];
  if (number === undefined || speedFault(Number(number)) !== undefined)
    throw usageError(
      `'${text}' is no speed.`,
      "Give items per second, written as 20 or 0.5, from 0.00001 (about one a day) to 1000000000, or 'unlimited'. To stand still: signalbox pause.",
    );
  return value(Number(number));
}

/** `debug`, or 0 (error), 1 (info), 2 (debug). Throws CliError. */
export function levelValue(text: string): LeverValue {
  if (/^[012]$/.test(text))
    return create(LeverValueSchema, { value: { case: "logLevel", value: { verbosity: Number(text) } } });
  const level = parseLevel(text, ", or 0 (error), 1 (info), 2 (debug)");
  return create(LeverValueSchema, { value: { case: "logLevel", value: { level } } });
}

/** The level of a name. Throws CliError, which names the levels and what else may be given. */
export function parseLevel(text: string, orElse = ""): Level {
  const index = levelChoices.findIndex((name) => name === text.toLowerCase());
  if (index < 0) throw usageError(`'${text}' is no level.`, `Choose one of ${levelChoices.join(", ")}${orElse}.`);
  return (Level.TRACE + index) as Level;
}

/** -100 to 100. Throws CliError. */
export function priorityValue(text: string): LeverValue {
  if (!/^[+-]?\d{1,3}$/.test(text) || Math.abs(Number(text)) > 100)
    throw usageError(
      `'${text}' is no priority.`,
      "Give a whole number from -100 to 100; higher goes first, 0 is normal.",
    );
  return create(LeverValueSchema, { value: { case: "priority", value: { priority: Number(text) } } });
}

/** The whole parameters of a job. */
export function parametersValue(parameters: JsonObject): LeverValue {
  return create(LeverValueSchema, { value: { case: "parameters", value: { parameters } } });
}

/** What a lever goes back to when a value that holds for a time ends: the lasting value before it, else where it rests. */
export function lastingValue(job: JobRecord, lever: LeverName): LeverValue {
  const now = setting(job, lever);
  return now?.hold?.then ?? now?.value ?? restValue(lever);
}

function restValue(lever: LeverName): LeverValue {
  switch (lever) {
    case "run":
      return runValue(RunMode.RUN);
    case "speed":
      return speedValue("unlimited");
    case "logLevel":
      return levelValue("trace");
    case "priority":
      return priorityValue("0");
    case "parameters":
      return parametersValue({});
  }
}

/** A value in words: `20 /s`, `unlimited`, `debug`, `paused`. */
export function valueWords({ value }: LeverValue): string {
  switch (value.case) {
    case "run":
      if (value.value.mode === RunMode.CANCEL) return `cancel, ${duration(value.value.graceMs)} grace`;
      if (value.value.mode === RunMode.PAUSE) return value.value.bySystem ? "stop by the system" : "pause";
      return "run";
    case "speed":
      return value.value.itemsPerSecond === undefined ? "unlimited" : rate(value.value.itemsPerSecond);
    case "logLevel":
      return levelWord(value.value.level);
    case "priority":
      return String(value.value.priority);
    case "parameters":
      return JSON.stringify(value.value.parameters ?? {});
    case undefined:
      return "";
  }
}

/** `debug`; empty for none. */
export function levelWord(level: Level): string {
  return levelChoices[level - Level.TRACE] ?? "";
}

/** What a lever is called. */
export const leverWords: Readonly<Record<LeverName, string>> = {
  run: "run",
  speed: "speed",
  logLevel: "log level",
  priority: "priority",
  parameters: "parameters",
};

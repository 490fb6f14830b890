import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { JobState, RunMode, type JobRecord, type JobType, type LeverValue } from "@signalbox/protocol";
import type { StartRequest } from "./start-request.ts";
import { holdOf } from "./hold.ts";
import { canRetry, currentAttempt, seenState, setting, wantedRun } from "./job-state.ts";
import { levelName, levelOf } from "./log-level.ts";
import { wantedParameters } from "./parameters.ts";
import { priorityOf } from "./priority.ts";
import { formFields } from "./schema-form.ts";
import { shellWords } from "../ui/format.ts";

/** The command line that starts the same job: `signalbox start TYPE key=value … --speed 20`, quoted for a POSIX shell. */
export function startCommand(start: StartRequest, schema: JsonObject | undefined): string {
  const fields = new Map(formFields(schema).map((field) => [field.name, field]));
  const words = ["signalbox", "start", start.type];
  for (const [name, value] of Object.entries(start.parameters))
    words.push(`${name}=${parameterWord(value, fields.get(name)?.type)}`);
  if (start.name && start.name !== start.type) words.push(...option("--name", start.name));
  for (const [key, value] of Object.entries(start.labels)) words.push(...option("--label", `${key}=${value}`));
  for (const lever of start.levers) words.push(...leverWords(lever));
  return shellWords(words);
}

/** A command line and what it does. */
export interface CliCommand {
  readonly label: string;
  readonly command: string;
}

/** The command lines that do what the levers of a job do as they stand, with the values that are wanted now. */
export function leverCommands(job: JobRecord, type: JobType | undefined, graceMs: number): CliCommand[] {
  const list: CliCommand[] = [];
  const add = (label: string, ...words: string[]) => list.push({ label, command: shellWords(["signalbox", ...words]) });
  const offers = (lever: string) => !type || type.levers.includes(lever);
  const { ended } = seenState(job);
  if (!ended) {
    if (wantedRun(job) === RunMode.PAUSE) add("Resume", "resume", job.id);
    else if (wantedRun(job) === RunMode.RUN && (offers("run") || !currentAttempt(job))) add("Pause", "pause", job.id);
    if (type?.systemStop && currentAttempt(job)) add("Stop by the system", "pause", job.id, "--by-system");
    if (offers("speed")) {
      const value = setting(job, "speed")?.value?.value;
      const limit = value?.case === "speed" ? value.value.itemsPerSecond : type?.defaultItemsPerSecond;
      add("Speed limit", "speed", job.id, limit === undefined ? "unlimited" : String(limit));
    }
    if (offers("log_level")) {
      const hold = holdOf(job, "logLevel", 0);
      const held = hold ? ["--for", `${Math.ceil(hold.leftMs / 1000)}s`] : [];
      add("Log level", "level", job.id, levelName(levelOf(setting(job, "logLevel")?.value)).toLowerCase(), ...held);
    }
    if (!currentAttempt(job)) add("Priority", "priority", job.id, String(priorityOf(setting(job, "priority")?.value)));
    const parameters = assignments(wantedParameters(job), type);
    if (parameters.length > 0 && (offers("parameters") || !currentAttempt(job)))
      add("Parameters", "set", job.id, ...parameters);
    add("Cancel", "cancel", job.id, "--grace", `${graceMs / 1000}s`);
  }
  if (job.state === JobState.LOST) add("Give up", "give-up", job.id);
  if (canRetry(job) || job.state === JobState.LOST) add("Retry", "retry", job.id);
  add("Log", "logs", job.id, ...(ended ? [] : ["--follow"]));
  return list;
}

function assignments(parameters: JsonObject, type: JobType | undefined): string[] {
  const fields = new Map(formFields(type?.parametersSchema).map((field) => [field.name, field]));
  return Object.entries(parameters).map(([name, value]) => `${name}=${parameterWord(value, fields.get(name)?.type)}`);
}

/** What the CLI reads as this value: text as it stands where the schema asks for text, else JSON. */
function parameterWord(value: JsonValue, type: string | undefined): string {
  if (typeof value !== "string") return JSON.stringify(value);
  return type === "string" || !isJson(value) ? value : JSON.stringify(value);
}

function leverWords({ value }: LeverValue): string[] {
  switch (value.case) {
    case "speed":
      return ["--speed", value.value.itemsPerSecond === undefined ? "unlimited" : String(value.value.itemsPerSecond)];
    case "priority":
      return value.value.priority === 0 ? [] : option("--priority", String(value.value.priority));
    case "logLevel":
      return ["--level", ["", "trace", "debug", "info", "warn", "error", "fatal"][value.value.level] ?? ""];
    case "run":
      return ["--paused"];
    default:
      return [];
  }
}

/** A value that begins with a dash would be taken for another option. */
function option(name: string, value: string): string[] {
  return value.startsWith("-") ? [`${name}=${value}`] : [name, value];
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

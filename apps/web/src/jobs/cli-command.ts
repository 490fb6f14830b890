import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { LeverValue } from "@signalbox/protocol";
import type { StartRequest } from "./start-request.ts";
import { formFields } from "./schema-form.ts";

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

/** Words as a POSIX shell reads them back. */
export function shellWords(words: readonly string[]): string {
  return words.map(quote).join(" ");
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

function quote(word: string): string {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

import { readFile } from "node:fs/promises";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { JobRecord, OfferedJobType } from "@signalbox/protocol";
import { setting } from "@signalbox/protocol/job-state";
import { usageError } from "./exit-codes.ts";

/**
 * Parameters from `key=value` words. What a value is follows from the type's JSON Schema; without one for the key, it is JSON if it can
 * be, else text. Throws CliError.
 */
export function parseAssignments(words: readonly string[], schema: JsonObject | undefined): JsonObject {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf("=");
      if (at < 1) throw usageError(`'${word}' is not of the form key=value.`);
      const key = word.slice(0, at);
      return [key, parseValue(key, word.slice(at + 1), propertySchema(schema, key))];
    }),
  );
}

/** A job's parameters with others from `key=value` words; `types` are those that are offered. Throws CliError. */
export function changedParameters(
  job: JobRecord,
  words: readonly string[],
  types: readonly OfferedJobType[],
): JsonObject {
  const schema = types.find(({ type }) => type?.name === job.type)?.type?.parametersSchema;
  const now = setting(job, "parameters")?.value?.value;
  return { ...(now?.case === "parameters" ? now.value.parameters : {}), ...parseAssignments(words, schema) };
}

/** The names that a schema declares. */
export function propertyNames(schema: JsonObject | undefined): string[] {
  return isObject(schema?.["properties"]) ? Object.keys(schema["properties"]) : [];
}

/** What a schema says of one property; undefined if nothing. */
export function propertySchema(schema: JsonObject | undefined, key: string): JsonObject | undefined {
  const properties = schema?.["properties"];
  const property = isObject(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined;
  return isObject(property) ? property : undefined;
}

/** The types that a schema of a value allows, by JSON Schema's names; empty if it does not say. */
export function typesOf(schema: JsonObject | undefined): string[] {
  const { type } = schema ?? {};
  return typeof type === "string" ? [type] : Array.isArray(type) ? type.filter((each) => typeof each === "string") : [];
}

/** Parameters from JSON itself, a file with it, or `-` for standard input. Throws CliError. */
export async function readParameters(given: string, stdin: AsyncIterable<string | Uint8Array>): Promise<JsonObject> {
  let text = given;
  let from = "--parameters";
  if (given === "-") {
    from = "standard input";
    text = "";
    for await (const part of stdin) text += typeof part === "string" ? part : Buffer.from(part).toString();
  } else if (!/^\s*[[{"]/.test(given)) {
    from = given;
    try {
      text = await readFile(given, "utf8");
    } catch (error) {
      throw usageError(
        `The parameters file ${given} cannot be read: ${(error as Error).message}`,
        "Give a file, '-' or JSON.",
      );
    }
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw usageError(`What ${from} holds is no JSON: ${(error as Error).message}`, "");
  }
  if (!isObject(value))
    throw usageError(`What ${from} holds is no JSON object.`, 'Parameters are an object: {"key": value}.');
  return value;
}

function parseValue(key: string, text: string, schema: JsonObject | undefined): JsonValue {
  const types = typesOf(schema);
  const json = tryJson(text);
  if (types.length === 0) return json === undefined ? text : json;
  if (json !== undefined && types.some((type) => fits(json, type))) return json;
  if (types.includes("string")) return text;
  throw usageError(`'${key}' takes ${types.map(typeWords).join(" or ")}, not '${text}'.`, "");
}

function fits(value: JsonValue, type: string): boolean {
  switch (type) {
    case "integer":
      return Number.isInteger(value);
    case "number":
    case "boolean":
      return typeof value === type;
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    // Text is taken as it is typed, not as JSON: name="x" keeps its quotes.
    default:
      return false;
  }
}

function typeWords(type: string): string {
  switch (type) {
    case "integer":
      return "a whole number";
    case "boolean":
      return "true or false";
    case "array":
      return "a JSON array";
    case "object":
      return "a JSON object";
    case "null":
      return "null";
    default:
      return `a ${type}`;
  }
}

function tryJson(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

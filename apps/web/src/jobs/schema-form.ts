import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** A field of a start form, read from a property of a job type's JSON Schema. */
export interface FormField {
  readonly name: string;
  readonly label: string;
  /** The schema's description; may be empty. */
  readonly help: string;
  /** `json` stands for what has no control of its own: the value is typed as JSON. */
  readonly kind: "text" | "number" | "integer" | "switch" | "choice" | "list" | "json";
  readonly required: boolean;
  readonly initial: JsonValue | undefined;
  readonly choices: readonly JsonValue[];
  readonly minimum: number | undefined;
  readonly maximum: number | undefined;
  readonly minLength: number | undefined;
  readonly maxLength: number | undefined;
}

/** The fields that a schema of `type: object` asks for, in its order. */
export function formFields(schema: JsonObject | undefined): FormField[] {
  const properties = object(schema?.["properties"]);
  const required = new Set(array(schema?.["required"]));
  return Object.entries(properties).map(([name, value]) => {
    const property = object(value);
    const choices = array(property["enum"]);
    return {
      name,
      label: string(property["title"]) || sentence(name),
      help: string(property["description"]),
      kind: kindOf(property, choices),
      required: required.has(name),
      initial: property["default"],
      choices,
      minimum: number(property["minimum"]) ?? above(number(property["exclusiveMinimum"]), property),
      maximum: number(property["maximum"]) ?? below(number(property["exclusiveMaximum"]), property),
      minLength: number(property["minLength"]),
      maxLength: number(property["maxLength"]),
    };
  });
}

/** What stands in a field before anybody types: its default as text. */
export function initialText(field: FormField): string {
  const { initial } = field;
  if (initial === undefined || initial === null) return field.kind === "switch" ? "false" : "";
  if (field.kind === "list") return array(initial).map(String).join("\n");
  if (field.kind === "json" || field.kind === "choice") return JSON.stringify(initial);
  return typeof initial === "string" ? initial : JSON.stringify(initial);
}

/** A field's text read as its value. `undefined` leaves it out, so that the server's default holds. Or what is wrong, in words. */
export function readField(
  field: FormField,
  text: string,
): { readonly value: JsonValue | undefined } | { readonly wrong: string } {
  const trimmed = text.trim();
  if (trimmed === "" && field.kind !== "switch") {
    if (field.required && field.kind !== "text") return { wrong: "needs a value" };
    if (field.required && (field.minLength ?? 0) > 0) return { wrong: "needs a value" };
    return { value: field.required ? text : undefined };
  }
  switch (field.kind) {
    case "switch":
      return { value: text === "true" };
    case "number":
    case "integer": {
      const value = Number(trimmed);
      if (!Number.isFinite(value)) return { wrong: "is not a number" };
      if (field.kind === "integer" && !Number.isInteger(value)) return { wrong: "must be a whole number" };
      if (field.minimum !== undefined && value < field.minimum) return { wrong: `must be ${field.minimum} or more` };
      if (field.maximum !== undefined && value > field.maximum) return { wrong: `must be ${field.maximum} or less` };
      return { value };
    }
    case "list":
      return {
        value: trimmed
          .split("\n")
          .map((line) => line.trim())
          .filter(Boolean),
      };
    case "choice":
    case "json":
      try {
        return { value: JSON.parse(trimmed) as JsonValue };
      } catch {
        // The parser's own words speak of tokens and positions.
        return { wrong: "is not valid JSON" };
      }
    case "text":
      if (field.minLength !== undefined && [...text].length < field.minLength)
        return { wrong: `needs ${field.minLength} characters or more` };
      if (field.maxLength !== undefined && [...text].length > field.maxLength)
        return { wrong: `takes ${field.maxLength} characters at most` };
      return { value: text };
  }
}

/** A field's bounds in words: `1 to 500`; empty if it has none that a person could meet. */
export function boundsText({ minimum, maximum: highest }: FormField): string {
  const maximum = highest !== undefined && highest >= Number.MAX_SAFE_INTEGER ? undefined : highest;
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum}`;
  if (minimum !== undefined) return `${minimum} or more`;
  return maximum === undefined ? "" : `${maximum} or less`;
}

function kindOf(property: JsonObject, choices: readonly JsonValue[]): FormField["kind"] {
  if (choices.length > 0) return "choice";
  switch (property["type"]) {
    case "string":
      return "text";
    case "number":
    case "integer":
      return property["type"];
    case "boolean":
      return "switch";
    case "array":
      return object(property["items"])["type"] === "string" ? "list" : "json";
    default:
      return "json";
  }
}

function above(bound: number | undefined, property: JsonObject): number | undefined {
  return bound !== undefined && property["type"] === "integer" ? bound + 1 : undefined;
}

function below(bound: number | undefined, property: JsonObject): number | undefined {
  return bound !== undefined && property["type"] === "integer" ? bound - 1 : undefined;
}

function sentence(name: string): string {
  const words = name
    .replaceAll(/[_-]+/g, " ")
    .replaceAll(/([a-z])([A-Z])/g, "$1 $2")
    .toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function object(value: JsonValue | undefined): JsonObject {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
}

function array(value: JsonValue | undefined): JsonValue[] {
  return Array.isArray(value) ? value : [];
}

function string(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}

function number(value: JsonValue | undefined): number | undefined {
  return typeof value === "number" ? value : undefined;
}

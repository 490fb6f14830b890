import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { list, number, object, string } from "./json-values.ts";

/** A value that can be chosen, and its word. */
export interface FieldChoice {
  readonly value: JsonValue;
  readonly label: string;
}

/** A field of a form, read from a property of a job type's JSON Schema. */
export interface FormField {
  readonly name: string;
  /** The names from the top of the form to this field. */
  readonly names: readonly string[];
  /** The names in one word, unique in the form. */
  readonly path: string;
  readonly label: string;
  /** The schema's description; may be empty. */
  readonly help: string;
  /**
   * `list` is one value a line, `map` one KEY=VALUE a line, `group` holds fields of its own. `json` stands for what has no control of its
   * own: the value is typed as JSON.
   */
  readonly kind: "text" | "number" | "integer" | "switch" | "choice" | "list" | "map" | "group" | "json";
  /** What the values of a list or a map are. */
  readonly items: "text" | "number" | "integer";
  readonly required: boolean;
  readonly initial: JsonValue | undefined;
  readonly choices: readonly FieldChoice[];
  readonly bounds: FieldBounds;
  /** The fields of a group. */
  readonly fields: readonly FormField[];
  /** The JSON type that the schema asks for, if one. */
  readonly type: string;
}

/** The bounds of a field that are checked here, as the server does; what else a schema says the server alone checks. */
export interface FieldBounds {
  readonly minimum: number | undefined;
  readonly maximum: number | undefined;
  /** The value lies above or below these. */
  readonly above: number | undefined;
  readonly below: number | undefined;
  readonly multipleOf: number | undefined;
  readonly minLength: number | undefined;
  readonly maxLength: number | undefined;
  readonly minItems: number | undefined;
  readonly maxItems: number | undefined;
}

/** Objects in objects are groups down to this depth; below it they are JSON. */
const deepest = 3;

/** The fields that a schema of `type: object` asks for, in its order. */
export function formFields(schema: JsonObject | undefined, within: readonly string[] = []): FormField[] {
  const required = new Set(list(schema?.["required"]));
  return Object.entries(object(schema?.["properties"])).map(([name, value]) => {
    const property = object(value);
    const choices = choicesOf(property);
    const names = [...within, name];
    const kind = kindOf(property, choices, names.length);
    return {
      name,
      names,
      path: names.map(encodeURIComponent).join("/"),
      label: string(property["title"]) || sentence(name),
      help: string(property["description"]),
      kind,
      items: itemKind(object(property[kind === "map" ? "additionalProperties" : "items"])) ?? "text",
      required: required.has(name),
      initial: property["default"],
      choices,
      bounds: boundsOf(property),
      fields: kind === "group" ? formFields(property, names) : [],
      type: typeOf(property),
    };
  });
}

/** The fields of a form and of all groups in it. */
export function allFields(fields: readonly FormField[]): FormField[] {
  return fields.flatMap((field) => [field, ...allFields(field.fields)]);
}

function kindOf(property: JsonObject, choices: readonly FieldChoice[], depth: number): FormField["kind"] {
  if (choices.length > 0) return "choice";
  switch (typeOf(property)) {
    case "string":
      return "text";
    case "number":
      return "number";
    case "integer":
      return "integer";
    case "boolean":
      return "switch";
    case "array":
      return itemKind(object(property["items"])) ? "list" : "json";
    case "object":
      if (Object.keys(object(property["properties"])).length > 0) return depth < deepest ? "group" : "json";
      return itemKind(object(property["additionalProperties"])) ? "map" : "json";
    default:
      return "json";
  }
}

/** The one type that a schema asks for; null beside it only says that the value may be left out. */
function typeOf(property: JsonObject): string {
  const type = property["type"];
  const types = (Array.isArray(type) ? type : [type]).filter((each) => each !== "null");
  return types.length === 1 ? string(types[0]) : "";
}

function itemKind(items: JsonObject): FormField["items"] | undefined {
  if (items["enum"] !== undefined) return undefined;
  const type = typeOf(items);
  return type === "string" ? "text" : type === "number" || type === "integer" ? type : undefined;
}

function choicesOf(property: JsonObject): FieldChoice[] {
  const label = (value: JsonValue) => (typeof value === "string" && value !== "" ? value : JSON.stringify(value));
  const named = list(property["oneOf"]).map(object);
  if (named.length > 0 && named.every((each) => each["const"] !== undefined))
    return named.map((each) => {
      const value = each["const"] ?? null;
      return { value, label: string(each["title"]) || label(value) };
    });
  return list(property["enum"]).map((value) => ({ value, label: label(value) }));
}

function boundsOf(property: JsonObject): FieldBounds {
  const whole = typeOf(property) === "integer";
  const above = number(property["exclusiveMinimum"]);
  const below = number(property["exclusiveMaximum"]);
  return {
    minimum: number(property["minimum"]) ?? (whole && above !== undefined ? above + 1 : undefined),
    maximum: number(property["maximum"]) ?? (whole && below !== undefined ? below - 1 : undefined),
    above: whole ? undefined : above,
    below: whole ? undefined : below,
    multipleOf: number(property["multipleOf"]),
    minLength: number(property["minLength"]),
    maxLength: number(property["maxLength"]),
    minItems: number(property["minItems"]),
    maxItems: number(property["maxItems"]),
  };
}

function sentence(name: string): string {
  const words = name
    .replaceAll(/[_-]+/g, " ")
    .replaceAll(/([a-z])([A-Z])/g, "$1 $2")
    .toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

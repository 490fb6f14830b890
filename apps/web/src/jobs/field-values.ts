import type { JsonValue } from "@bufbuild/protobuf";
import { isObject, list, object } from "./json-values.ts";
import type { FieldBounds, FormField } from "./schema-form.ts";

// Values of form fields as text, and back.

/** Whether the field's own control can show a value as it is. One that it cannot show is typed as JSON. */
export function canShow(field: FormField, value: JsonValue): boolean {
  switch (field.kind) {
    case "text":
      return typeof value === "string";
    case "number":
    case "integer":
      return typeof value === "number";
    case "switch":
      return typeof value === "boolean";
    case "choice":
      return field.choices.some((choice) => JSON.stringify(choice.value) === JSON.stringify(value));
    case "list":
      return Array.isArray(value) && value.every((item) => isLine(item, field.items) && item !== "");
    case "map":
      return isObject(value) && Object.entries(value).every(([key, item]) => isKey(key) && isLine(item, field.items));
    case "group":
      return isObject(value) && Object.keys(value).every((key) => field.fields.some((each) => each.name === key));
    case "json":
      return true;
  }
}

/** A value as the text of the field's control. */
export function valueText(field: FormField, value: JsonValue | undefined): string {
  if (value === undefined || value === null) return field.kind === "switch" ? "false" : "";
  switch (field.kind) {
    case "list":
      return list(value).map(String).join("\n");
    case "map":
      return Object.entries(object(value))
        .map(([key, item]) => `${key}=${typeof item === "string" ? item : JSON.stringify(item)}`)
        .join("\n");
    case "choice":
      return JSON.stringify(value);
    case "json":
      return JSON.stringify(value, undefined, 2);
    default:
      return typeof value === "string" ? value : JSON.stringify(value);
  }
}

/** What was read: a value, or what is wrong, in words that follow the field's label. */
export type FieldRead = { readonly value: JsonValue | undefined } | { readonly wrong: string };

/** A field's text read as its value. `undefined` leaves it out, so that the server's default holds. Groups have no text. */
export function readField(field: FormField, text: string): FieldRead {
  const trimmed = text.trim();
  const { minLength, maxLength } = field.bounds;
  if (trimmed === "" && field.kind !== "switch") {
    if (!field.required) return { value: undefined };
    if (field.kind === "text" && !minLength) return { value: text };
    if (field.kind === "list" && !field.bounds.minItems) return { value: [] };
    if (field.kind === "map") return { value: {} };
    return { wrong: "needs a value" };
  }
  switch (field.kind) {
    case "switch":
      return { value: text === "true" };
    case "number":
    case "integer":
      return readNumber(field.kind, trimmed, field.bounds);
    case "list":
      return readList(field, text);
    case "map":
      return readMap(field, text);
    case "choice":
    case "json":
    case "group":
      return readJson(field, trimmed);
    case "text":
      if (minLength !== undefined && [...text].length < minLength)
        return { wrong: `needs ${minLength} characters or more` };
      if (maxLength !== undefined && [...text].length > maxLength)
        return { wrong: `takes ${maxLength} characters at most` };
      return { value: text };
  }
}

function readNumber(kind: "number" | "integer", text: string, bounds: FieldBounds): FieldRead {
  const value = text === "" ? NaN : Number(text);
  if (!Number.isFinite(value)) return { wrong: "is not a number" };
  if (kind === "integer" && !Number.isInteger(value)) return { wrong: "must be a whole number" };
  const { minimum, maximum, above, below, multipleOf } = bounds;
  if (minimum !== undefined && value < minimum) return { wrong: `must be ${minimum} or more` };
  if (maximum !== undefined && value > maximum) return { wrong: `must be ${maximum} or less` };
  if (above !== undefined && value <= above) return { wrong: `must be above ${above}` };
  if (below !== undefined && value >= below) return { wrong: `must be below ${below}` };
  if (multipleOf !== undefined && !isMultiple(value, multipleOf))
    return { wrong: `must be a multiple of ${multipleOf}` };
  return { value };
}

/** As the server's checker sees it: the quotient is whole. */
function isMultiple(value: number, of: number): boolean {
  return Number.isInteger(value / of);
}

function readList(field: FormField, text: string): FieldRead {
  // A line is taken exactly: its spaces may be meant. Only what is wholly empty is left out.
  const lines = text.split("\n").filter((line) => line !== "");
  const values: JsonValue[] = [];
  for (const [index, line] of lines.entries()) {
    const read = readItem(field, line);
    if ("wrong" in read) return { wrong: `${read.wrong} in line ${index + 1}` };
    values.push(read.value);
  }
  const { minItems, maxItems } = field.bounds;
  if (minItems !== undefined && values.length < minItems)
    return { wrong: `needs ${minItems} ${minItems === 1 ? "line" : "lines"} or more` };
  if (maxItems !== undefined && values.length > maxItems) return { wrong: `takes ${maxItems} lines at most` };
  return { value: values };
}

function readMap(field: FormField, text: string): FieldRead {
  const entries: [string, JsonValue][] = [];
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  for (const [index, line] of lines.entries()) {
    const at = line.indexOf("=");
    const key = line.slice(0, at).trim();
    if (at < 0 || key === "") return { wrong: `needs KEY=VALUE in line ${index + 1}` };
    if (entries.some(([known]) => known === key)) return { wrong: `has ${key} twice` };
    const read = readItem(field, line.slice(at + 1));
    if ("wrong" in read) return { wrong: `${read.wrong} in line ${index + 1}` };
    entries.push([key, read.value]);
  }
  return { value: Object.fromEntries(entries) };
}

function readItem(field: FormField, text: string): { readonly value: JsonValue } | { readonly wrong: string } {
  if (field.items === "text") return { value: text };
  const value = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(value)) return { wrong: "is not a number" };
  if (field.items === "integer" && !Number.isInteger(value)) return { wrong: "must be a whole number" };
  return { value };
}

function readJson({ kind, type }: FormField, text: string): FieldRead {
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch {
    // The parser's own words speak of tokens and positions.
    return { wrong: "is not valid JSON" };
  }
  if (kind === "json" && type === "array" && !Array.isArray(value)) return { wrong: "must be a list: [ … ]" };
  if (kind === "json" && type === "object" && !isObject(value)) return { wrong: "must be an object: { … }" };
  return { value };
}

/** Whether a value can stand on a line of its own. */
function isLine(value: JsonValue, kind: FormField["items"]): boolean {
  if (kind !== "text") return typeof value === "number";
  return typeof value === "string" && !/[\r\n]/.test(value);
}

function isKey(key: string): boolean {
  return key !== "" && key === key.trim() && !/[=\r\n]/.test(key);
}

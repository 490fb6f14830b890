import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { isObject } from "@signalbox/protocol/parameters";

// Looking into JSON that may be anything.

export { isObject };

/** The value if it is an object, else an empty one. */
export function object(value: JsonValue | undefined): JsonObject {
  return isObject(value) ? value : {};
}

/** The value if it is a list, else an empty one. */
export function list(value: JsonValue | undefined): JsonValue[] {
  return Array.isArray(value) ? value : [];
}

/** The value if it is text, else none. */
export function string(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}

/** The value if it is a number. */
export function number(value: JsonValue | undefined): number | undefined {
  return typeof value === "number" ? value : undefined;
}

/** What lies at a place; undefined if nothing does. */
export function valueAt(values: JsonObject, names: readonly string[]): JsonValue | undefined {
  let value: JsonValue | undefined = values;
  for (const name of names) value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return value;
}

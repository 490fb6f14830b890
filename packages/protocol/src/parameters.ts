import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { LeverValue } from "./gen/signalbox/v1/job_pb.ts";

/** A parameter that differs between two objects. */
export interface ParameterChange {
  /** Its name, with dots where objects lie in objects. */
  readonly name: string;
  /** Undefined: it was not there. */
  readonly before: JsonValue | undefined;
  readonly after: JsonValue | undefined;
}

/** The parameters of a parameters lever's value. */
export function parametersOf(value: LeverValue | undefined): JsonObject {
  return (value?.value.case === "parameters" ? value.value.value.parameters : undefined) ?? {};
}

/** What differs from one object to another, in the order of the later one. Lists and whole values are compared as they are. */
export function parameterChanges(before: JsonObject, after: JsonObject, within = ""): ParameterChange[] {
  const names = [...Object.keys(after), ...Object.keys(before).filter((name) => !Object.hasOwn(after, name))];
  return names.flatMap((name) => {
    const [was, is] = [before, after].map((each) => (Object.hasOwn(each, name) ? each[name] : undefined));
    if (isObject(was) && isObject(is)) return parameterChanges(was, is, `${within}${name}.`);
    return JSON.stringify(was) === JSON.stringify(is) ? [] : [{ name: within + name, before: was, after: is }];
  });
}

/** A parameter's value in a few words; `–` if it is not set. */
export function valueWords(value: JsonValue | undefined): string {
  if (value === undefined) return "–";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text || "“”";
}

/** Whether a value is an object, neither a list nor null. */
export function isObject(value: JsonValue | undefined): value is JsonObject {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

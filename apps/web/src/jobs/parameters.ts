import { create, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { LeverValueSchema, type JobRecord, type LeverValue } from "@signalbox/protocol";
import { isObject } from "./json-values.ts";
import { setting } from "./job-state.ts";

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

/** The parameters that are wanted of a job. */
export function wantedParameters(job: JobRecord): JsonObject {
  return parametersOf(setting(job, "parameters")?.value);
}

/** The value that sets parameters. */
export function parametersValue(parameters: JsonObject): LeverValue {
  return create(LeverValueSchema, { value: { case: "parameters", value: { parameters } } });
}

/** What differs from one object to another, in the order of the later one. Lists and whole values are compared as they are. */
export function parameterChanges(before: JsonObject, after: JsonObject, within = ""): ParameterChange[] {
  const names = [...Object.keys(after), ...Object.keys(before).filter((name) => !(name in after))];
  return names.flatMap((name) => {
    const [was, is] = [before[name], after[name]];
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

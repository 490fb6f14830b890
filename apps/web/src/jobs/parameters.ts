import { create, type JsonObject } from "@bufbuild/protobuf";
import { LeverValueSchema, type JobRecord, type LeverValue } from "@signalbox/protocol";
import { parametersOf } from "@signalbox/protocol/parameters";
import { setting } from "./job-state.ts";

export * from "@signalbox/protocol/parameters";

/** The parameters that are wanted of a job. */
export function wantedParameters(job: JobRecord): JsonObject {
  return parametersOf(setting(job, "parameters")?.value);
}

/** The value that sets parameters. */
export function parametersValue(parameters: JsonObject): LeverValue {
  return create(LeverValueSchema, { value: { case: "parameters", value: { parameters } } });
}

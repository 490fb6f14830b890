import type { JsonObject } from "@bufbuild/protobuf";
import type { JobType } from "@signalbox/protocol";
import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import { RE2JS } from "re2js";
import { jsonText } from "../json-text.ts";
import { Refused } from "../refused.ts";

/** Patterns in a schema run on RE2: no pattern of a worker can make the server think for ever. Ajv keeps them by their text. */
function linearPattern(pattern: string): { test(text: string): boolean; toString(): string } {
  const compiled = RE2JS.compile(pattern);
  return { test: (text) => compiled.matcher(text).find(), toString: () => pattern };
}
linearPattern.code = "linearPattern";

const ajv = new Ajv2020({
  useDefaults: true,
  allErrors: true,
  strict: false,
  validateFormats: false,
  code: { regExp: linearPattern },
});
const compiled = new WeakMap<JobType, ValidateFunction>();
const shownErrors = 5;
/** They are in every entry of the job. */
const largestBytes = 64 * 1024;

/**
 * The parameters with the schema's defaults filled in. Throws Refused with every fault (at most five) in words. A type without a schema takes no parameters.
 */
export function checkParameters(type: JobType, parameters: JsonObject): JsonObject {
  const text = jsonText(parameters);
  if (text === undefined)
    throw new Refused("invalid", "The parameters hold NaN or an infinity: JSON has no such numbers.");
  const bytes = Buffer.byteLength(text);
  if (bytes > largestBytes)
    throw new Refused("invalid", `The parameters have ${bytes} bytes as JSON, at most ${largestBytes} are allowed.`);
  const filled = structuredClone(parameters);
  if (!type.parametersSchema) {
    const names = Object.keys(filled);
    if (names.length > 0)
      throw new Refused(
        "invalid",
        `Jobs of type '${type.name}' take no parameters, but '${names[0]?.slice(0, 60)}' was given.`,
      );
    return filled;
  }
  let validate = compiled.get(type);
  if (!validate) {
    try {
      validate = ajv.compile(type.parametersSchema);
    } catch (error) {
      throw new Refused(
        "wrong-state",
        `The parameters schema of job type '${type.name}' is not valid: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    compiled.set(type, validate);
  }
  if (validate(filled)) return filled;
  const faults = (validate.errors ?? []).slice(0, shownErrors).map(faultWords);
  throw new Refused("invalid", `Parameters do not fit job type '${type.name}': ${faults.join("; ")}.`);
}

function faultWords(error: ErrorObject): string {
  const where = error.instancePath.slice(1).replaceAll("/", ".");
  const { additionalProperty } = error.params as { additionalProperty?: string };
  const what =
    additionalProperty === undefined
      ? (error.message ?? "is not valid")
      : `has no parameter '${additionalProperty.slice(0, 60)}'`;
  return where ? `${where} ${what}` : what;
}

import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  HoldSchema,
  LeverValueSchema,
  type Command,
  type JobRecord,
  type JobType,
  type LeverValue,
} from "@signalbox/protocol";
import { Refused } from "../refused.ts";
import { openAttempt } from "./job-record.ts";
import { checkLeverOfType, checkSystemStop, leverOf, plainLeverValue } from "./levers.ts";
import { checkParameters } from "./parameters.ts";

// What a job's type says about commands; the folds know nothing of types.

/**
 * A command in the form in which it is stored: a verbosity is a level, parameters that fit the type have its defaults, and what the server
 * sets is not set. Throws Refused for a verbosity that says nothing.
 */
export function plainCommand(command: Command, type: JobType | undefined): Command {
  const { action, hold } = command;
  if (action.case !== "set") return { ...command, generation: 0n, bulkId: "" };
  const plain = (value: LeverValue) => withDefaults(plainLeverValue(value), type);
  return {
    ...command,
    generation: 0n,
    bulkId: "",
    action: { case: "set", value: plain(action.value) },
    ...(hold?.then ? { hold: create(HoldSchema, { ...hold, then: plain(hold.then) }) } : {}),
  };
}

/** Throws Refused unless a job of the type can obey: the lever is its, parameters fit the schema, and it can take them while it runs. */
export function checkCommand({ action, hold }: Command, before: JobRecord, type: JobType | undefined): void {
  if (action.case !== "set") return;
  for (const value of [action.value, hold?.then]) if (value) checkSystemStop(type, value, "wrong-state");
  if (!type) return;
  const lever = leverOf(action.value);
  checkLeverOfType(type, lever, "wrong-state");
  if (lever === "parameters" && openAttempt(before) && !type.levers.includes("parameters"))
    throw new Refused(
      "wrong-state",
      `Jobs of type '${type.name}' take their parameters when they start, not while they run. Set them while the job waits, or retry it with new ones.`,
    );
  for (const value of [action.value, hold?.then]) {
    const parameters = parametersOf(value);
    if (parameters) checkParameters(type, parameters);
  }
}

/** Parameters with the schema's defaults; what does not fit stays as it is, and {@link checkCommand} says why. */
function withDefaults(value: LeverValue, type: JobType | undefined): LeverValue {
  const given = parametersOf(value);
  if (!given || !type) return value;
  try {
    const parameters = checkParameters(type, given);
    return create(LeverValueSchema, { value: { case: "parameters", value: { parameters } } });
  } catch (error) {
    if (error instanceof Refused) return value;
    throw error;
  }
}

function parametersOf(value: LeverValue | undefined): JsonObject | undefined {
  return value?.value.case === "parameters" ? value.value.value.parameters : undefined;
}

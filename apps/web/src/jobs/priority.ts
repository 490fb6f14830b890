import { create } from "@bufbuild/protobuf";
import { LeverValueSchema, type JobRecord, type LeverValue } from "@signalbox/protocol";
import { setting } from "./job-state.ts";

/** The greatest priority; the smallest is its negative. */
export const highestPriority = 100;

/** Priorities that have a name. */
export const priorityNames = [
  { priority: highestPriority, name: "Highest" },
  { priority: 10, name: "High" },
  { priority: 0, name: "Normal" },
  { priority: -10, name: "Low" },
  { priority: -highestPriority, name: "Lowest" },
] as const;

/** The priority of a priority lever's value; 0 where it was never set. */
export function priorityOf(value: LeverValue | undefined): number {
  return value?.value.case === "priority" ? value.value.value.priority : 0;
}

/** The priority that is wanted of a job. */
export function wantedPriority(job: JobRecord): number {
  return priorityOf(setting(job, "priority")?.value);
}

/** `Normal`, `High`, `+5`, `−20`. */
export function priorityText(priority: number): string {
  return priorityNames.find((each) => each.priority === priority)?.name ?? signed(priority);
}

/** `+5`, `0`, `−20`. */
export function signed(value: number): string {
  return value > 0 ? `+${value}` : value < 0 ? `−${-value}` : "0";
}

/** The value that sets a priority. */
export function priorityValue(priority: number): LeverValue {
  return create(LeverValueSchema, { value: { case: "priority", value: { priority } } });
}

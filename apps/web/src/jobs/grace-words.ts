import type { JobType } from "@signalbox/protocol";

/** The types of the programs that a worker supervises, by the names they have unless somebody chooses others. */
const programs: ReadonlySet<string> = new Set(["run", "command"]);

/**
 * What becomes of a job that has not ended when its grace is over. Only programs that a worker supervises, which the system can always
 * stop, are killed; of a job's function nobody but itself can make an end. Both where the type does not tell.
 */
export function afterGrace(type: JobType | undefined): string {
  if (type && !type.systemStop) return "given up";
  return type && programs.has(type.name) ? "killed" : "killed or given up";
}

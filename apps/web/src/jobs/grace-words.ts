import type { JobRecord, JobType } from "@signalbox/protocol";
import { duration } from "../ui/format.ts";
import { graceMs } from "./commands.svelte.ts";
import { currentAttempt } from "./job-state.ts";

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

/** What a cancel does, step by step. */
export function whatCancelDoes(job: JobRecord, type: JobType | undefined): string {
  if (!currentAttempt(job)) return "waits: nothing runs yet";
  return `${duration(graceMs)} to end by itself, then ${afterGrace(type)}`;
}

/** What can be done about a cancel that counts down, and what it will do. */
export function heldWords(job: JobRecord, type: JobType | undefined): string {
  return `press again: at once · ${whatCancelDoes(job, type)}`;
}

import type { JobRecord, JobType } from "@signalbox/protocol";
import { startCommand } from "../cli-command.ts";
import { lastingValue } from "../hold.ts";
import { wantedParameters } from "../parameters.ts";
import { wantedPriority } from "../priority.ts";
import { setting } from "../job-state.ts";
import { shellWords } from "../../ui/format.ts";

/** Verbs of many jobs that the command line has by the same names. */
export type CopyVerb = "pause" | "resume" | "cancel" | "retry";

/** The command line that does the same to these jobs. */
export function verbCommand(verb: CopyVerb, jobIds: readonly string[]): string {
  return shellWords(["signalbox", verb, ...jobIds]);
}

/** The command line that starts a job like this one. */
export function againCommand(job: JobRecord, type: JobType | undefined): string {
  const levers = [lastingValue(job, "speed"), lastingValue(job, "logLevel")].flatMap((value) => value ?? []);
  const priority = setting(job, "priority")?.value;
  if (priority && wantedPriority(job) !== 0) levers.push(priority);
  return startCommand(
    { type: job.type, name: job.name, parameters: wantedParameters(job), labels: job.labels, levers },
    type?.parametersSchema,
  );
}

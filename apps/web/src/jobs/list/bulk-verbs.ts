import { create } from "@bufbuild/protobuf";
import {
  BulkCommandSchema,
  JobState,
  LeverValueSchema,
  RunMode,
  type BulkCommand,
  type JobRecord,
  type JobType,
  type LeverValue,
} from "@signalbox/protocol";
import { graceMs } from "../commands.svelte.ts";
import { currentAttempt, seenState, setting, wantedRun } from "../job-state.ts";

/** How long a command to many is held, and everybody can undo it, milliseconds. */
export const bulkHoldMs = 5_000;

/** What can be asked of many jobs at once. */
export const bulkVerbs = {
  pause: { verb: "Pause", doing: "pauses", done: "paused", notDone: "Not paused" },
  resume: { verb: "Resume", doing: "resumes", done: "resumed", notDone: "Not resumed" },
  cancel: { verb: "Cancel", doing: "cancels", done: "cancelled", notDone: "Not cancelled" },
  retry: { verb: "Retry", doing: "retries", done: "retried", notDone: "No new attempts" },
  speed: { verb: "Set speed", doing: "sets the speed of", done: "have the new speed", notDone: "Speed not changed" },
  logLevel: {
    verb: "Set level",
    doing: "sets the log level of",
    done: "have the new level",
    notDone: "Level not changed",
  },
  priority: {
    verb: "Set priority",
    doing: "sets the priority of",
    done: "have the new priority",
    notDone: "Priority not changed",
  },
} as const;

/** Name of such a verb. */
export type BulkVerb = keyof typeof bulkVerbs;

/** The command that pauses, resumes, cancels or retries. */
export function plainCommand(verb: "pause" | "resume" | "cancel" | "retry"): BulkCommand {
  if (verb === "retry") return create(BulkCommandSchema, { action: { case: "retry", value: {} } });
  const mode = { pause: RunMode.PAUSE, resume: RunMode.RUN, cancel: RunMode.CANCEL }[verb];
  const value = { mode, graceMs: verb === "cancel" ? graceMs : 0 };
  return setCommand(create(LeverValueSchema, { value: { case: "run", value } }));
}

/** The command that sets a lever. */
export function setCommand(value: LeverValue): BulkCommand {
  return create(BulkCommandSchema, { action: { case: "set", value } });
}

/** Which verb a command is; undefined: one of those that are asked elsewhere. */
export function verbOf(command: BulkCommand | undefined): BulkVerb | undefined {
  const action = command?.action;
  if (action?.case === "retry") return "retry";
  const value = action?.case === "set" ? action.value.value : undefined;
  switch (value?.case) {
    case "run":
      if (value.value.mode === RunMode.CANCEL) return "cancel";
      return value.value.mode === RunMode.PAUSE ? "pause" : "resume";
    case "speed":
    case "logLevel":
    case "priority":
      return value.case;
    default:
      return undefined;
  }
}

/**
 * Why a job would be skipped, in the words of the server, as far as this page can tell; undefined: it would get the command. The server
 * judges for itself, with what it knows and this page does not.
 */
export function whySkipped(verb: BulkVerb, job: JobRecord, type: JobType | undefined): string | undefined {
  if (verb === "retry") return whyNoRetry(job);
  const { word, ended } = seenState(job);
  if (ended) return `${word.toLowerCase()} already`;
  const wanted = wantedRun(job);
  const queued = job.state === JobState.QUEUED;
  switch (verb) {
    case "pause":
      if (wanted === RunMode.CANCEL) return "is being canceled already";
      if (wanted !== RunMode.PAUSE || setting(job, "run")?.hold) return undefined;
      if (queued) return "held already";
      return job.state === JobState.PAUSED ? "paused already" : "is being paused already";
    case "resume":
      if (wanted === RunMode.CANCEL) return "is being canceled already";
      if (wanted !== RunMode.RUN) return undefined;
      return queued ? "waits already" : "is not paused";
    case "cancel":
      return wanted === RunMode.CANCEL ? "is being canceled already" : undefined;
    case "priority":
      return currentAttempt(job) ? "has left the queue" : undefined;
    case "speed":
    case "logLevel":
      return type && !type.levers.includes(verb === "speed" ? "speed" : "log_level")
        ? "its type has no such lever"
        : undefined;
  }
}

function whyNoRetry(job: JobRecord): string | undefined {
  switch (job.state) {
    case JobState.FAILED:
    case JobState.CANCELED:
    case JobState.LOST:
      return undefined;
    case JobState.SUCCEEDED:
      return "succeeded already";
    default:
      // A job in its back-off is tried again at once.
      return job.retryAtUs > 0n ? undefined : `is ${seenState(job).word.toLowerCase()}`;
  }
}

/** What a verb would do to many jobs. */
export interface VerbCount {
  readonly touched: number;
  readonly skipped: number;
  /** Why, the most frequent reason first. */
  readonly reasons: readonly { readonly reason: string; readonly jobs: number }[];
}

/** Counts what a verb would do. */
export function countVerb(
  verb: BulkVerb,
  jobs: Iterable<JobRecord>,
  typeOf: (job: JobRecord) => JobType | undefined,
): VerbCount {
  let touched = 0;
  let skipped = 0;
  const reasons = new Map<string, number>();
  for (const job of jobs) {
    const reason = whySkipped(verb, job, typeOf(job));
    if (reason === undefined) touched++;
    else {
      skipped++;
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
  }
  const sorted = [...reasons].sort((a, b) => b[1] - a[1]);
  return { touched, skipped, reasons: sorted.map(([reason, count]) => ({ reason, jobs: count })) };
}

/** How many jobs are in each state, as the page names states, the most first. */
export function countStates(jobs: Iterable<JobRecord>): { readonly word: string; readonly jobs: number }[] {
  const counts = new Map<string, number>();
  for (const job of jobs) {
    const { word } = seenState(job);
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([word, count]) => ({ word, jobs: count }));
}

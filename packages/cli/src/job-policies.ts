import { duration, plural } from "@signalbox/protocol/format";
import type { Deadline, JobRecord, RetryPolicy, StartJobRequestSchema } from "@signalbox/protocol";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { usageError } from "./exit-codes.ts";
import { parseLabels } from "./labels.ts";
import { sanitise } from "./sanitise.ts";

/** Which workers may run a job, how often it is tried and how long an attempt may run, as `start` is told. Times in milliseconds. */
export interface PolicyOptions {
  readonly selector?: string[];
  readonly attempts?: number;
  readonly backOff?: number;
  readonly retryLost?: boolean;
  readonly deadline?: number;
  readonly deadlineWhilePaused?: boolean;
}

/** What they are in a request; what nothing is said of is left to the type. Throws CliError. */
export function policiesOf({
  selector,
  attempts,
  backOff,
  retryLost,
  deadline,
  deadlineWhilePaused,
}: PolicyOptions): MessageInitShape<typeof StartJobRequestSchema> {
  if (attempts === undefined && (backOff !== undefined || retryLost))
    throw usageError("--back-off and --retry-lost need --attempts.", "Say how many attempts there may be in all.");
  if (deadline === undefined && deadlineWhilePaused)
    throw usageError("--deadline-while-paused needs --deadline.", "Say how long an attempt may run.");
  const retry = { mostAttempts: attempts ?? 0, backOffMs: BigInt(backOff ?? 0), whenLost: retryLost ?? false };
  return {
    workerSelector: parseLabels(selector ?? []),
    ...(attempts === undefined ? {} : { retry }),
    ...(deadline === undefined
      ? {}
      : { deadline: { afterMs: BigInt(deadline), runsWhilePaused: deadlineWhilePaused ?? false } }),
  };
}

/** The rows about them in what is shown of a job; none for what it does not have. */
export function policyFacts(job: JobRecord): [string, string][] {
  const facts: [string, string][] = [];
  const selector = Object.entries(job.workerSelector).map(([key, value]) => sanitise(`${key}=${value}`));
  if (selector.length > 0) facts.push(["Needs", `a worker with ${selector.join("  ")}`]);
  if (job.retry) facts.push(["Retries", retryWords(job, job.retry)]);
  if (job.deadline) facts.push(["Deadline", deadlineWords(job, job.deadline)]);
  return facts;
}

/** `2 of 5 attempts used; waits 10 s, then 2 times longer each time, at most 1 h 00 m; also when lost`. */
function retryWords(
  { tries, attempts }: JobRecord,
  { mostAttempts, backOffMs, factor, longestBackOffMs, whenLost }: RetryPolicy,
) {
  const open = attempts.at(-1);
  const waits =
    backOffMs === 0n
      ? "does not wait"
      : `waits ${duration(Number(backOffMs))}${factor > 1 ? `, then ${factor} times longer each time, at most ${duration(Number(longestBackOffMs))}` : ""}`;
  const used = `${tries + (open && open.endedAtUs === 0n ? 1 : 0)} of ${plural(mostAttempts, "attempt")} used`;
  return [used, waits, ...(whenLost ? ["also when lost"] : [])].join("; ");
}

/** `10 m 00 s an attempt; 2 m 10 s used; the clock stands while it is paused`. */
function deadlineWords({ attempts }: JobRecord, { afterMs, runsWhilePaused }: Deadline): string {
  const open = attempts.at(-1);
  const running = open && open.endedAtUs === 0n ? open : undefined;
  const sinceMs = running && running.deadlineSinceUs > 0n ? Date.now() - Number(running.deadlineSinceUs) / 1000 : 0;
  const used = running ? [`${duration(Number(running.deadlineUsedMs) + Math.max(0, sinceMs))} used`] : [];
  const paused = `the clock ${runsWhilePaused ? "runs on" : "stands"} while it is paused`;
  return [`${duration(Number(afterMs))} an attempt`, ...used, paused].join("; ");
}

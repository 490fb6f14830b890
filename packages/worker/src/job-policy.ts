import { create } from "@bufbuild/protobuf";
import { DeadlineSchema, RetryPolicySchema, type Deadline, type RetryPolicy } from "@signalbox/protocol";

const dayMs = 24 * 60 * 60_000;
const yearMs = 365 * dayMs;
const hourMs = 60 * 60_000;
const defaultBackOffMs = 1000;
const mostAttempts = 100;
const largestFactor = 10;

/** How jobs of a type are tried again by themselves when an attempt has failed. */
export interface RetryOptions {
  /** How many attempts there may be in all, 1 to 100. */
  readonly attempts: number;
  /** The wait before the second attempt, milliseconds, at most a day. Default 1,000. */
  readonly backOffMs?: number;
  /** What the wait is multiplied with from attempt to attempt, 1 to 10. Default 2. */
  readonly factor?: number;
  /** The longest wait, milliseconds. Default: an hour. */
  readonly longestBackOffMs?: number;
  /** Also when the attempt is lost: 45 s later it is given up and tried again. Default: no, it waits for a person. */
  readonly whenLost?: boolean;
}

/** How long an attempt may run. Then the server cancels it, and the job has failed. */
export interface DeadlineOptions {
  /** From when the attempt has begun, milliseconds. */
  readonly afterMs: number;
  /** The clock runs on while the job is paused. Default: it stands then. */
  readonly runsWhilePaused?: boolean;
  /** How long the attempt may take to end, milliseconds. Default 10,000. */
  readonly graceMs?: number;
}

/** What a job type says of the queue and of its attempts. */
export interface JobPolicy {
  readonly mostRunning?: number | undefined;
  readonly retry?: RetryOptions | undefined;
  readonly deadline?: DeadlineOptions | undefined;
}

/** Says what is wrong with a policy; undefined if nothing is. */
export function policyFault({ mostRunning, retry, deadline }: JobPolicy): string | undefined {
  const fault = (name: string, value: number | undefined, from: number, to: number, whole = true) =>
    value === undefined || (value >= from && value <= to && (!whole || Number.isInteger(value)))
      ? undefined
      : `${name} is ${whole ? "a whole number from " : ""}${from} to ${to}, not ${value}`;
  return (
    fault("mostRunning", mostRunning, 1, 2 ** 31) ??
    (retry &&
      (fault("retry.attempts", retry.attempts, 1, mostAttempts) ??
        fault("retry.backOffMs", retry.backOffMs, 0, dayMs) ??
        fault("retry.factor", retry.factor, 1, largestFactor, false) ??
        fault("retry.longestBackOffMs", retry.longestBackOffMs, 0, dayMs))) ??
    (deadline &&
      (fault("deadline.afterMs", deadline.afterMs, 1, yearMs) ??
        fault("deadline.graceMs", deadline.graceMs, 0, hourMs)))
  );
}

/** A retry policy as the server is told it. */
export function retryPolicyOf({
  attempts,
  backOffMs = defaultBackOffMs,
  factor = 2,
  longestBackOffMs = hourMs,
  whenLost = false,
}: RetryOptions): RetryPolicy {
  return create(RetryPolicySchema, {
    mostAttempts: attempts,
    backOffMs: BigInt(backOffMs),
    factor,
    longestBackOffMs: BigInt(longestBackOffMs),
    whenLost,
  });
}

/** A deadline as the server is told it. */
export function deadlineOf({ afterMs, runsWhilePaused = false, graceMs = 10_000 }: DeadlineOptions): Deadline {
  return create(DeadlineSchema, { afterMs: BigInt(afterMs), runsWhilePaused, graceMs });
}

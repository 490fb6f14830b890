import { create } from "@bufbuild/protobuf";
import {
  DeadlineSchema,
  RetryPolicySchema,
  type Deadline,
  type JobType,
  type RetryPolicy,
  type StartJobRequest,
} from "@signalbox/protocol";
import { Refused } from "../refused.ts";

// How attempts of a job are tried again by themselves, and how long one may run: bounds, and what holds where nothing is said.

const mostAttempts = 100;
const dayMs = 86_400_000n;
const usualFactor = 2;
const largestFactor = 10;
const usualLongestMs = 3_600_000n;
const longestDeadlineMs = 366n * 86_400_000n;
const usualGraceMs = 10_000;

/** What is wrong with a policy, in words that follow 'the retry policy'; undefined if nothing is. */
export function retryFault(policy: RetryPolicy | undefined): string | undefined {
  if (!policy) return undefined;
  const { backOffMs, factor, longestBackOffMs } = policy;
  if (policy.mostAttempts > mostAttempts)
    return `has most_attempts ${policy.mostAttempts}, at most ${mostAttempts} are allowed`;
  if (backOffMs > dayMs) return `has back_off_ms ${backOffMs}, at most a day (${dayMs}) is allowed`;
  if (!(factor === 0 || (factor >= 1 && factor <= largestFactor)))
    return `has factor ${factor}, which is not 1 to ${largestFactor}`;
  if (longestBackOffMs > dayMs)
    return `has longest_back_off_ms ${longestBackOffMs}, at most a day (${dayMs}) is allowed`;
  if (longestBackOffMs !== 0n && longestBackOffMs < backOffMs)
    return `has longest_back_off_ms ${longestBackOffMs}, which is less than its back_off_ms ${backOffMs}`;
  return undefined;
}

/** What is wrong with a deadline, in words that follow 'the deadline'; undefined if nothing is. */
export function deadlineFault(deadline: Deadline | undefined): string | undefined {
  if (!deadline) return undefined;
  const { afterMs, graceMs } = deadline;
  if (afterMs < 1n || afterMs > longestDeadlineMs)
    return `has after_ms ${afterMs}, which is not 1 to ${longestDeadlineMs} (366 days)`;
  if (BigInt(graceMs) > dayMs) return `has grace_ms ${graceMs}, at most a day (${dayMs}) is allowed`;
  return undefined;
}

/** The policies of a new job, whole: its own, else those of its type. Throws Refused for one that is out of bounds. */
export function jobPolicies(
  request: StartJobRequest,
  type: JobType,
): { retry: RetryPolicy | undefined; deadline: Deadline | undefined } {
  const fault = retryFault(request.retry);
  if (fault) throw new Refused("invalid", `The retry policy ${fault}.`);
  const late = deadlineFault(request.deadline);
  if (late) throw new Refused("invalid", `The deadline ${late}.`);
  return { retry: wholeRetry(request.retry ?? type.retry), deadline: wholeDeadline(request.deadline ?? type.deadline) };
}

/** The policy with what holds where it says nothing; undefined if there is no second attempt in it. */
function wholeRetry(policy: RetryPolicy | undefined): RetryPolicy | undefined {
  if (!policy || policy.mostAttempts <= 1) return undefined;
  const { mostAttempts, backOffMs, whenLost } = policy;
  const usualMs = usualLongestMs > backOffMs ? usualLongestMs : backOffMs;
  return create(RetryPolicySchema, {
    mostAttempts,
    backOffMs,
    whenLost,
    factor: policy.factor || usualFactor,
    longestBackOffMs: policy.longestBackOffMs || usualMs,
  });
}

function wholeDeadline(deadline: Deadline | undefined): Deadline | undefined {
  return deadline && create(DeadlineSchema, { ...deadline, graceMs: deadline.graceMs || usualGraceMs });
}

/** How long to wait after so many tries, milliseconds. The same for the same tries: a history can be folded again. */
export function backOffAfter({ backOffMs, factor, longestBackOffMs }: RetryPolicy, tries: number): number {
  if (backOffMs === 0n) return 0;
  return Math.min(Math.round(Number(backOffMs) * factor ** Math.max(0, tries - 1)), Number(longestBackOffMs));
}

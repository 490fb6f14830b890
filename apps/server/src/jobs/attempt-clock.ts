import { ActorKind, JobState, RunMode, type Attempt, type JobRecord } from "@signalbox/protocol";
import { settingOf, wantedRun } from "./levers.ts";

// The clock of an attempt's deadline. It runs from the attempt's begin, stands while the worker says that the job is paused (unless the
// deadline runs on then) and while the attempt is lost: nobody knows whether it runs. It reaches the deadline by the timer's entry alone.

/** Starts or stops the clock by what the record says now. Changes `attempt`. Times are server clock, microseconds. */
export function keepClock(record: JobRecord, attempt: Attempt, now: number): void {
  const { deadline } = record;
  if (!deadline || isTimedOut(record, attempt)) return;
  const runs =
    attempt.startedAtUs !== 0n &&
    attempt.lostAtUs === 0n &&
    attempt.endedAtUs === 0n &&
    (record.state !== JobState.PAUSED || deadline.runsWhilePaused);
  const at = BigInt(now);
  if (runs && attempt.deadlineSinceUs === 0n) attempt.deadlineSinceUs = at;
  else if (!runs && attempt.deadlineSinceUs !== 0n) {
    const usedMs = usedAt(attempt, now);
    attempt.deadlineUsedMs = usedMs < deadline.afterMs ? usedMs : deadline.afterMs - 1n;
    attempt.deadlineSinceUs = 0n;
  }
}

/** The timer says that the time is over: the clock stands for good. Changes `attempt`. */
export function runOut(attempt: Attempt, now: number): void {
  attempt.deadlineUsedMs = usedAt(attempt, now);
  attempt.deadlineSinceUs = 0n;
}

/** Whether the attempt's time is over at `now` and nobody ends it yet. */
export function isOverdue(record: JobRecord, attempt: Attempt, now: number): boolean {
  if (!record.deadline || attempt.deadlineSinceUs === 0n || wantedRun(record.spec) === RunMode.CANCEL) return false;
  return usedAt(attempt, now) >= record.deadline.afterMs;
}

/** Whether the server ends the attempt because its time is over, and nobody has asked for the end of the job besides. */
export function endsByDeadline(record: JobRecord, attempt: Attempt): boolean {
  if (!isTimedOut(record, attempt) || wantedRun(record.spec) !== RunMode.CANCEL) return false;
  const generation = settingOf(record.spec, "run")?.generation;
  const receipt = record.receipts.find((each) => each.generation === generation);
  return !receipt || receipt.actor?.kind === ActorKind.SERVER;
}

/** Why an attempt was ended that took too long. */
export function deadlineWords(record: JobRecord): string {
  return `ran longer than ${timeWords(Number(record.deadline?.afterMs ?? 0n))}`;
}

function isTimedOut({ deadline }: JobRecord, { deadlineUsedMs }: Attempt): boolean {
  return deadline !== undefined && deadlineUsedMs >= deadline.afterMs;
}

function usedAt({ deadlineUsedMs, deadlineSinceUs }: Attempt, now: number): bigint {
  const sinceMs = deadlineSinceUs === 0n ? 0n : (BigInt(now) - deadlineSinceUs) / 1000n;
  return deadlineUsedMs + (sinceMs > 0n ? sinceMs : 0n);
}

const units: readonly [number, string][] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1000, "s"],
];

/** A given time in its own units: '10 min', '1 h 30 min', '500 ms'. */
export function timeWords(ms: number): string {
  const words: string[] = [];
  let rest = ms;
  for (const [unitMs, unit] of units) {
    const count = Math.floor(rest / unitMs);
    if (count > 0) words.push(`${count} ${unit}`);
    rest -= count * unitMs;
  }
  if (rest > 0 || words.length === 0) words.push(`${rest} ms`);
  return words.join(" ");
}

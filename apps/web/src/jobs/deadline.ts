import type { JobRecord } from "@signalbox/protocol";
import { duration } from "../ui/format.ts";
import { currentAttempt } from "./job-state.ts";
import { countdown } from "./hold.ts";

/** The clock of an attempt that may run for so long only. */
export interface DeadlineClock {
  /** How long it may run yet, milliseconds. */
  readonly leftMs: number;
  /** The clock runs; else it stands: the job is paused, lost, or has not begun. */
  readonly runs: boolean;
}

/** The clock of the attempt that is open; undefined: there is none, or it may run for ever. `nowMs` is the server's clock. */
export function deadlineClock(job: JobRecord, nowMs: number): DeadlineClock | undefined {
  const attempt = currentAttempt(job);
  if (!attempt || !job.deadline) return undefined;
  const runs = attempt.deadlineSinceUs > 0n;
  const usedMs =
    Number(attempt.deadlineUsedMs) + (runs ? Math.max(0, nowMs - Number(attempt.deadlineSinceUs) / 1000) : 0);
  return { leftMs: Math.max(0, Number(job.deadline.afterMs) - usedMs), runs };
}

/** `deadline in 8:41`, `deadline stands, 8:41 left`; empty without one. */
export function deadlineNote(job: JobRecord, nowMs: number): string {
  const clock = deadlineClock(job, nowMs);
  if (!clock) return "";
  if (clock.runs) return clock.leftMs > 0 ? `deadline in ${countdown(clock.leftMs)}` : "its time is over";
  return `deadline stands, ${countdown(clock.leftMs)} left`;
}

/** What a job's deadline is, whole: `10 m 00 s an attempt, stands while paused; 8:41 left`. Undefined without one. */
export function deadlineText(job: JobRecord, nowMs: number): string | undefined {
  const { deadline } = job;
  if (!deadline) return undefined;
  const paused = deadline.runsWhilePaused ? "runs on while paused" : "stands while paused";
  const clock = deadlineClock(job, nowMs);
  const left = clock ? `; ${countdown(clock.leftMs)} left${clock.runs ? "" : ", stands"}` : "";
  return `${duration(Number(deadline.afterMs))} an attempt, ${paused}${left}`;
}

/** How the job is tried again: `try 3 of 5, retries in 12 s`. Undefined: it is not tried again by itself. */
export function retryText(job: JobRecord, nowMs: number): string | undefined {
  const { retry } = job;
  if (!retry || retry.mostAttempts < 2) return undefined;
  const waits = job.retryAtUs > 0n;
  // Who retries by hand begins to count anew: a try is not the number of an attempt.
  const tries = Math.min(retry.mostAttempts, job.tries + (waits ? 1 : 0));
  const of = `try ${Math.max(1, tries)} of ${retry.mostAttempts}`;
  if (waits) return `retries in ${duration(Math.max(0, Number(job.retryAtUs) / 1000 - nowMs))}, ${of}`;
  return job.tries >= retry.mostAttempts ? `${of}, no other by itself` : of;
}

import { JobState, type JobRecord } from "@signalbox/protocol";
import { currentAttempt, needsPerson, seenState } from "./job-state.ts";
import { wantedPriority } from "./priority.ts";

/** The saved views of the jobs page, in the order in which they are shown. The id is what the URL says. */
export const jobViews = [
  { id: "now", label: "Now" },
  { id: "needs-you", label: "Needs you" },
  { id: "running", label: "Running" },
  { id: "waiting", label: "Waiting" },
  { id: "paused", label: "Paused" },
  { id: "ended-today", label: "Ended today" },
] as const;

/** Id of a view. */
export type JobView = (typeof jobViews)[number]["id"];

/** The view that a URL names; `now` if it names none. */
export function parseView(text: string | null): JobView {
  return jobViews.find((view) => view.id === text)?.id ?? "now";
}

/** Whether a view shows a job. *Now* is what has not ended, or ended within two hours. `nowMs` is the server's clock. */
export function inView(job: JobRecord, view: JobView, nowMs: number): boolean {
  const { ended } = seenState(job);
  switch (view) {
    case "now":
      return !ended || nowMs - Number(job.endedAtUs) / 1000 < 7_200_000;
    case "needs-you":
      return needsPerson(job, nowMs);
    case "running":
      return job.state === JobState.RUNNING || (job.state === JobState.QUEUED && currentAttempt(job) !== undefined);
    case "waiting":
      return job.state === JobState.QUEUED && currentAttempt(job) === undefined;
    case "paused":
      return job.state === JobState.PAUSED;
    case "ended-today":
      return ended && Number(job.endedAtUs) / 1000 >= new Date(nowMs).setHours(0, 0, 0, 0);
  }
}

/** How many jobs each view shows. */
export function countViews(jobs: Iterable<JobRecord>, nowMs: number): Record<JobView, number> {
  const counts = { now: 0, "needs-you": 0, running: 0, waiting: 0, paused: 0, "ended-today": 0 };
  for (const job of jobs) for (const { id } of jobViews) if (inView(job, id, nowMs)) counts[id]++;
  return counts;
}

/**
 * Orders jobs: first what needs a person, then what is under way, running, paused, waiting (as the queue does: higher priority, then the
 * older job, first), then what has ended (newest first).
 */
export function sortJobs(jobs: JobRecord[], nowMs: number): JobRecord[] {
  const keyed = jobs.map((job) => ({ job, rank: rank(job, nowMs), priority: queuePriority(job), time: time(job) }));
  keyed.sort((a, b) => a.rank - b.rank || b.priority - a.priority || b.time - a.time || (a.job.id < b.job.id ? -1 : 1));
  return keyed.map(({ job }) => job);
}

/** How many of `jobs` are not among `known`. */
export function countNew(jobs: readonly JobRecord[], known: readonly JobRecord[]): number {
  const ids = new Set(known.map((job) => job.id));
  return jobs.reduce((count, job) => count + (ids.has(job.id) ? 0 : 1), 0);
}

function rank(job: JobRecord, nowMs: number): number {
  if (needsPerson(job, nowMs)) return 0;
  const { ended, between } = seenState(job);
  if (ended) return 5;
  if (between) return 1;
  if (job.state === JobState.RUNNING) return 2;
  return job.state === JobState.PAUSED ? 3 : 4;
}

/** The priority of a job that waits; of others it says nothing. */
function queuePriority(job: JobRecord): number {
  return job.state === JobState.QUEUED && !currentAttempt(job) ? wantedPriority(job) : 0;
}

/** What decides among equals: greater comes first. */
function time(job: JobRecord): number {
  if (job.endedAtUs > 0n) return Number(job.endedAtUs);
  if (job.state === JobState.QUEUED) return -Number(job.queuedAtUs || job.createdAtUs);
  return Number(job.startedAtUs || job.createdAtUs);
}

import { JobState, type JobRecord } from "@signalbox/protocol";
import { currentAttempt, seenState } from "./job-state.ts";
import { wantedPriority } from "./priority.ts";

/**
 * The saved views of the jobs page, in the order in which they are shown. The id is what the URL says. *Now* is what has not ended, or ended
 * within two hours.
 */
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

/** How many jobs each view shows at `nowMs` of the server's clock. */
export function countViews(jobs: Iterable<JobRecord>, nowMs: number): Record<JobView, number> {
  const counts = { now: 0, "needs-you": 0, running: 0, waiting: 0, paused: 0, "ended-today": 0 };
  const moment = momentOf(nowMs);
  for (const job of jobs) {
    const facts = factsOf(job);
    for (const { id } of jobViews) if (isShown(facts, id, moment)) counts[id]++;
  }
  return counts;
}

/** A test of whether a view shows a job at `nowMs`, made once for many jobs. */
export function showing(view: JobView, nowMs: number): (job: JobRecord) => boolean {
  const moment = momentOf(nowMs);
  return (job) => isShown(factsOf(job), view, moment);
}

/** Where a job stands among those of a view. */
export interface Place {
  readonly job: JobRecord;
  readonly rank: number;
  /** Of jobs that wait; of others it says nothing. */
  readonly priority: number;
  /** What decides among equals: greater comes first. */
  readonly time: number;
}

/** What says where jobs stand in a view at `nowMs`; of a job that the view does not show it says undefined. */
export function placing(view: JobView, nowMs: number): (job: JobRecord) => Place | undefined {
  const moment = momentOf(nowMs);
  return (job) => {
    const facts = factsOf(job);
    if (!isShown(facts, view, moment)) return undefined;
    return { job, rank: isNeedy(facts, moment) ? 0 : facts.rank, priority: facts.priority, time: facts.time };
  };
}

/**
 * The order of a view: first what needs a person, then what is under way, running, paused, waiting (as the queue does: higher priority,
 * then the older job, first), then what has ended (newest first).
 */
export function comparePlaces(a: Place, b: Place): number {
  return a.rank - b.rank || b.priority - a.priority || b.time - a.time || (a.job.id < b.job.id ? -1 : 1);
}

/** What places a job in views, whatever the time is. */
interface JobFacts {
  readonly view: "running" | "waiting" | "paused" | undefined;
  /** When it ended, milliseconds since the Unix epoch; undefined if it has not. */
  readonly endedMs: number | undefined;
  readonly isLost: boolean;
  readonly hasFailed: boolean;
  /** Its place among jobs that need nobody: smaller comes first. */
  readonly rank: number;
  /** The priority of a job that waits; of others it says nothing. */
  readonly priority: number;
  /** What decides among equals: greater comes first. */
  readonly time: number;
}

/** Records never change, and most of ten thousand are the same as before: what is known of them is kept with them. */
const known = new WeakMap<JobRecord, JobFacts>();

function factsOf(job: JobRecord): JobFacts {
  let facts = known.get(job);
  if (!facts) known.set(job, (facts = describe(job)));
  return facts;
}

function describe(job: JobRecord): JobFacts {
  const { ended, between } = seenState(job);
  const waits = job.state === JobState.QUEUED && currentAttempt(job) === undefined;
  const runs = job.state === JobState.RUNNING || (job.state === JobState.QUEUED && !waits);
  const isPaused = job.state === JobState.PAUSED;
  return {
    view: runs ? "running" : waits ? "waiting" : isPaused ? "paused" : undefined,
    endedMs: ended ? Number(job.endedAtUs) / 1000 : undefined,
    isLost: job.state === JobState.LOST,
    hasFailed: job.state === JobState.FAILED,
    rank: ended ? 5 : between ? 1 : job.state === JobState.RUNNING ? 2 : isPaused ? 3 : 4,
    priority: waits ? wantedPriority(job) : 0,
    time: timeOf(job),
  };
}

function timeOf(job: JobRecord): number {
  if (job.endedAtUs > 0n) return Number(job.endedAtUs);
  if (job.state === JobState.QUEUED) return -Number(job.queuedAtUs || job.createdAtUs);
  return Number(job.startedAtUs || job.createdAtUs);
}

/** A moment, and when its day began here. Milliseconds since the Unix epoch. */
interface Moment {
  readonly nowMs: number;
  readonly dayMs: number;
}

function momentOf(nowMs: number): Moment {
  return { nowMs, dayMs: new Date(nowMs).setHours(0, 0, 0, 0) };
}

/** Whether the job needs a person: it is lost, or it failed within the last day. */
function isNeedy({ isLost, hasFailed, endedMs }: JobFacts, { nowMs }: Moment): boolean {
  return isLost || (hasFailed && nowMs - (endedMs ?? 0) < 86_400_000);
}

function isShown(facts: JobFacts, view: JobView, moment: Moment): boolean {
  const { endedMs } = facts;
  switch (view) {
    case "now":
      return endedMs === undefined || moment.nowMs - endedMs < 7_200_000;
    case "needs-you":
      return isNeedy(facts, moment);
    case "ended-today":
      return endedMs !== undefined && endedMs >= moment.dayMs;
    default:
      return facts.view === view;
  }
}

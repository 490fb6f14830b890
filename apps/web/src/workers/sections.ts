import { JobState, type JobRecord, type WorkerAttempt } from "@signalbox/protocol";
import { seenState, type StateWord } from "../jobs/job-state.ts";
import { stateLooks, type Tone } from "../ui/lamp.ts";

/** A job on a worker, as it is seen. */
export interface WorkerJob {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly attempt: number;
  readonly word: StateWord;
  readonly between: boolean;
}

/** A slot with a job in it: it runs or stands, is in between, or is lost. */
export interface OccupiedSection {
  readonly kind: "occupied" | "between" | "lost";
  readonly job: WorkerJob;
  readonly tone: Tone;
}

/** A slot of a worker, drawn as a section of track. */
export type Section = OccupiedSection | { readonly kind: "free" | "closed" };

/** Where each attempt of a worker sits; holes are free. */
export type Seats = readonly (string | undefined)[];

/** Identity of an attempt among all. */
export function seatKey(attempt: WorkerAttempt): string {
  return `${attempt.jobId}/${attempt.attempt}`;
}

/**
 * Gives each attempt a slot to be drawn in. Who sat before stays where it was: a section means the same job for as long as the job is
 * there. More attempts than slots (those of a process before) get sections of their own at the end.
 */
export function takeSeats(before: Seats, attempts: readonly WorkerAttempt[], slots: number): Seats {
  const here = new Set(attempts.map(seatKey));
  const seats = new Array<string | undefined>(slots).fill(undefined);
  const standing: string[] = [];
  for (const [at, key] of before.entries()) {
    if (key === undefined || !here.delete(key)) continue;
    if (at < slots) seats[at] = key;
    else standing.push(key);
  }
  let at = 0;
  for (const key of [...standing, ...here]) {
    while (at < seats.length && seats[at] !== undefined) at++;
    seats[at] = key;
  }
  return seats;
}

/**
 * A job on a worker. What is asked of it is known from its record; without that, only what the worker's attempt says.
 */
export function workerJob(attempt: WorkerAttempt, record: JobRecord | undefined): WorkerJob {
  const newest = record?.attempts.at(-1);
  const seen =
    record && newest?.number === attempt.attempt && record.state === attempt.state
      ? seenState(record)
      : { word: words[attempt.state] ?? "Starting", between: attempt.state === JobState.QUEUED };
  const { jobId: id, name, type } = attempt;
  return { id, name: name || id, type, attempt: attempt.attempt, word: seen.word, between: seen.between };
}

const words: Readonly<Partial<Record<JobState, StateWord>>> = {
  [JobState.QUEUED]: "Starting",
  [JobState.RUNNING]: "Running",
  [JobState.PAUSED]: "Paused",
  [JobState.SUCCEEDED]: "Succeeded",
  [JobState.FAILED]: "Failed",
  [JobState.CANCELED]: "Canceled",
  [JobState.LOST]: "Lost",
};

/** The sections of a worker, in the order of its seats. `open`: a free slot can get a job. */
export function sectionsOf(seats: Seats, jobs: ReadonlyMap<string, WorkerJob>, open: boolean): Section[] {
  return seats.map((key) => {
    const job = key === undefined ? undefined : jobs.get(key);
    if (!job) return { kind: open ? "free" : "closed" };
    const kind = job.word === "Lost" ? "lost" : job.between ? "between" : "occupied";
    return { kind, job, tone: stateLooks[job.word].tone };
  });
}

/** The three letters of a job type, for a section of track. */
export function letters(type: string): string {
  return type.replaceAll(/[^a-z0-9]/gi, "").slice(0, 3) || "·";
}

/** How many sections of each kind there are. */
export function countSections(sections: readonly Section[]): Record<Section["kind"], number> {
  const counts = { occupied: 0, between: 0, lost: 0, free: 0, closed: 0 };
  for (const { kind } of sections) counts[kind]++;
  return counts;
}

/** `2 of 4 slots busy`, for those who cannot see the track. */
export function sectionsText(sections: readonly Section[]): string {
  const counts = countSections(sections);
  const busy = counts.occupied + counts.between + counts.lost;
  const slots = `${sections.length} ${sections.length === 1 ? "slot" : "slots"}`;
  return `${busy} of ${slots} busy${counts.closed > 0 ? `, ${counts.closed} closed` : ""}`;
}

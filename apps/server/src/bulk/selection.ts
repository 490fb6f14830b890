import { JobState, type JobRecord, type JobSelection } from "@signalbox/protocol";
import { jobFilter } from "@signalbox/protocol/job-filter";
import type { Jobs } from "../jobs/jobs.ts";
import { stateWord } from "../jobs/job-record.ts";
import { Refused } from "../refused.ts";

/** So many jobs get commands at once. */
export const mostJobs = 10_000;
const longestWords = 500;

/** The jobs that are selected now. */
export interface Selected {
  /** In the order in which they get their commands; a job that does not exist has no record. */
  readonly jobs: readonly { readonly id: string; readonly record: JobRecord | undefined }[];
  /** What was selected, for people: 'state Running, type index'. */
  readonly words: string;
}

/**
 * Finds the jobs of a selection. Those that wait in the queue come first, so that none of them is begun in the place of one that is ended
 * before it; then by age. Throws Refused for a selection of nothing, and of too much.
 */
export function select(jobs: Jobs, selection: JobSelection | undefined): Selected {
  switch (selection?.jobs.case) {
    case "ids": {
      const ids = [...new Set(selection.jobs.value.ids)];
      if (ids.length === 0) throw new Refused("invalid", "No job is selected: give ids, or a filter.");
      checkCount(ids.length);
      const found = ids.map((id) => ({ id, record: jobs.find(id)?.record }));
      return { jobs: found.sort(byTurn), words: ids.length === 1 ? "1 selected job" : `${ids.length} selected jobs` };
    }
    case "filter": {
      const filter = selection.jobs.value;
      const fits = jobFilter(filter);
      const found = [];
      for (const { id, record } of jobs.all()) if (fits(record)) found.push({ id, record });
      checkCount(found.length);
      const words = [
        filter.states.length > 0 ? `state ${filter.states.map(stateName).join(" or ")}` : "",
        filter.type && `type ${filter.type}`,
        ...Object.entries(filter.labels).map(([key, value]) => `label ${value ? `${key}=${value}` : key}`),
        filter.workerId && `worker ${filter.workerId}`,
        filter.text && `text '${filter.text}'`,
      ].filter(Boolean);
      return { jobs: found.sort(byTurn), words: words.join(", ").slice(0, longestWords) || "all jobs" };
    }
    case undefined:
      throw new Refused("invalid", "No job is selected: give ids, or a filter.");
  }
}

function checkCount(count: number): void {
  if (count > mostJobs)
    throw new Refused("invalid", `${count} jobs are selected, at most ${mostJobs} get commands at once. Select fewer.`);
}

type Found = Selected["jobs"][number];

function byTurn(a: Found, b: Found): number {
  const waits = ({ record }: Found) => (record?.state === JobState.QUEUED ? 0 : 1);
  const age = ({ record }: Found) => Number(record?.createdAtUs ?? 0n);
  return waits(a) - waits(b) || age(a) - age(b) || (a.id < b.id ? -1 : 1);
}

function stateName(state: JobState): string {
  const word = stateWord(state);
  return `${word.charAt(0).toUpperCase()}${word.slice(1)}`;
}

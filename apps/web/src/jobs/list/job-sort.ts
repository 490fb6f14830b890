import type { JobRecord, Vitals } from "@signalbox/protocol";
import { seenState, type StateWord } from "../job-state.ts";
import { errorLines, itemRate, share } from "../progress.ts";

/** Columns that the table can be sorted by. `down` is the direction of the first click. */
export const sortColumns = {
  state: { label: "state", down: false, measured: false },
  name: { label: "name", down: false, measured: false },
  progress: { label: "progress", down: true, measured: true },
  rate: { label: "rate", down: true, measured: true },
  errors: { label: "errors", down: true, measured: true },
  worker: { label: "worker", down: false, measured: false },
  age: { label: "begin or end", down: true, measured: false },
} as const;

/** Name of such a column, also in the URL. */
export type SortColumn = keyof typeof sortColumns;

/** How the table is sorted. */
export interface JobSort {
  readonly column: SortColumn;
  /** Greatest first. */
  readonly down: boolean;
}

/** The sort that a URL names: `errors`, or `-errors` for the greatest first; undefined: what needs a person first. */
export function parseSort(text: string | null): JobSort | undefined {
  const down = text?.startsWith("-") ?? false;
  const column = text?.slice(down ? 1 : 0);
  return isColumn(column) ? { column, down } : undefined;
}

/** The sort as the URL names it. */
export function sortParameter(sort: JobSort | undefined): string | undefined {
  return sort && `${sort.down ? "-" : ""}${sort.column}`;
}

/** The sort after a click on a column: its own direction, then the other one, then what needs a person first. */
export function nextSort(sort: JobSort | undefined, column: SortColumn): JobSort | undefined {
  const { down } = sortColumns[column];
  if (sort?.column !== column) return { column, down };
  return sort.down === down ? { column, down: !down } : undefined;
}

/** What a job is sorted by: a number or a text, all of one kind in a column; undefined: it has none and comes last, either way. */
export type SortKey = number | string | undefined;

/** The key of a job in a column. */
export function sortKey(column: SortColumn, job: JobRecord, vitals: Vitals | undefined): SortKey {
  switch (column) {
    case "state":
      return stateRanks[seenState(job).word];
    case "name":
      return lowered(job);
    case "progress":
      return share(vitals);
    case "rate":
      return seenState(job).ended ? undefined : itemRate(vitals);
    case "errors":
      return errorLines(vitals);
    case "worker":
      return job.attempts.at(-1)?.workerId || job.workerId || undefined;
    case "age":
      return Number(job.endedAtUs || job.startedAtUs || job.createdAtUs);
  }
}

/** Compares two keys of one column; those without any are last. */
export function compareKeys(a: SortKey, b: SortKey, down: boolean): number {
  if (a === b) return 0;
  if (a === undefined) return 1;
  if (b === undefined) return -1;
  return a < b === down ? 1 : -1;
}

/** Names as they are compared, kept with their record. */
const names = new WeakMap<JobRecord, string>();

function lowered(job: JobRecord): string {
  let name = names.get(job);
  if (name === undefined) names.set(job, (name = job.name.toLowerCase()));
  return name;
}

function isColumn(text: string | undefined): text is SortColumn {
  return text !== undefined && Object.hasOwn(sortColumns, text);
}

/** From what needs somebody most to what needs nobody. */
const stateRanks: Readonly<Record<StateWord, number>> = {
  Lost: 0,
  Failed: 1,
  Cancelling: 2,
  Pausing: 3,
  Resuming: 4,
  Starting: 5,
  Running: 6,
  Paused: 7,
  Waiting: 8,
  Canceled: 9,
  Succeeded: 10,
};

import type { JobRecord } from "@signalbox/protocol";
import { compact } from "../../ui/format.ts";
import { stateNames, withLabel, type JobQuery } from "./job-query.ts";

/** What can be added to a query, in the order of its menus. */
export const filterFields = ["state", "type", "worker", "label"] as const;

/** Name of such a field. */
export type FilterField = (typeof filterFields)[number];

/** A value of a menu. */
export interface FilterOption {
  readonly id: string;
  readonly name: string;
  /** How many jobs have it. */
  readonly hint: string;
  /** It is in the query. */
  readonly checked: boolean;
}

/** So many values are offered, those of most jobs; what is not among them can be typed. */
const mostOffered = 40;

/** The values of a field that jobs have, with how many, the most frequent first; states in their own order. */
export function filterOptions(field: FilterField, jobs: Iterable<JobRecord>, query: JobQuery): FilterOption[] {
  const counts = new Map<string, number>();
  const add = (value: string | undefined) => value && counts.set(value, (counts.get(value) ?? 0) + 1);
  for (const job of jobs) {
    if (field === "state") add(stateNames.find(({ state }) => state === job.state)?.id);
    else if (field === "type") add(job.type);
    else if (field === "worker") add(job.attempts.at(-1)?.workerId);
    else for (const [key, value] of Object.entries(job.labels)) add(`${key}=${value}`);
  }
  if (field === "state")
    return stateNames.map(({ id, state, word }) => ({
      ...{ id, name: word, hint: compact(counts.get(id) ?? 0), checked: query.states.includes(state) },
    }));
  const frequent = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, mostOffered);
  return frequent.map(([id, count]) => ({ id, name: id, hint: compact(count), checked: isChosen(field, id, query) }));
}

/** The query after a value was chosen: with it, or without it if it was there. */
export function chooseOption(field: FilterField, id: string, query: JobQuery): JobQuery {
  switch (field) {
    case "state": {
      const state = stateNames.find((each) => each.id === id)?.state;
      if (!state) return query;
      const states = query.states.includes(state)
        ? query.states.filter((each) => each !== state)
        : [...query.states, state];
      return { ...query, states };
    }
    case "type":
      return { ...query, type: query.type === id ? "" : id };
    case "worker":
      return { ...query, worker: query.worker === id ? "" : id };
    case "label": {
      if (!isChosen(field, id, query)) return withLabel(query, id);
      const key = id.slice(0, id.indexOf("="));
      return { ...query, labels: Object.fromEntries(Object.entries(query.labels).filter(([other]) => other !== key)) };
    }
  }
}

function isChosen(field: FilterField, id: string, query: JobQuery): boolean {
  if (field === "type") return query.type === id;
  if (field === "worker") return query.worker === id;
  return Object.entries(query.labels).some(([key, value]) => `${key}=${value}` === id);
}

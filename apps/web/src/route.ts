import { readAuditPlace, type AuditPlace } from "./audit/audit-place.ts";
import { parseView, type JobView } from "./jobs/job-views.ts";
import { noQuery, parseQuery, queryParameters, type JobQuery } from "./jobs/list/job-query.ts";
import { parseSort, sortParameter, type JobSort } from "./jobs/list/job-sort.ts";
import { parseSpan, type TimeSpan } from "./jobs/strip/span.ts";
import type { MarkedLines } from "./logs/log-surface.ts";
import { parseMarked } from "./logs/marked-lines.ts";
import { parseWorkerView, type WorkerView } from "./workers/worker-views.ts";

/** What a URL of this page shows. */
export type Route =
  | ({ readonly page: "jobs" } & JobsPlace)
  /** `attempt` undefined: the newest. */
  | {
      readonly page: "job";
      readonly id: string;
      readonly attempt: number | undefined;
      /** What came of the attempt after it had ended for the room, instead of its log. */
      readonly late: boolean;
      readonly marked: MarkedLines | undefined;
      /** The span of time whose lines alone are shown. */
      readonly span: TimeSpan | undefined;
      /** Attempts that are shown side by side instead of one; empty: the newest ones. */
      readonly compare: readonly number[] | undefined;
    }
  | ({ readonly page: "workers" } & WorkersPlace)
  | { readonly page: "audit"; readonly place: AuditPlace }
  | { readonly page: "nowhere" };

/** What the page of jobs shows. */
export interface JobsPlace {
  readonly view: JobView;
  readonly query: JobQuery;
  /** Undefined: what needs a person first. */
  readonly sort: JobSort | undefined;
}

/** What the page of workers shows. */
export interface WorkersPlace {
  /** The worker whose details are open. */
  readonly worker: string | undefined;
  readonly view: WorkerView;
  /** Words that a worker must have. */
  readonly query: string;
  /** Workers that are gone are shown too. */
  readonly unfolded: boolean;
}

/** Reads a URL. */
export function parseRoute(url: URL): Route {
  if (url.pathname === "/" || /^\/jobs\/?$/.test(url.pathname)) {
    const { searchParams } = url;
    return {
      page: "jobs",
      view: parseView(searchParams.get("view")),
      query: parseQuery(searchParams),
      sort: parseSort(searchParams.get("sort")),
    };
  }
  if (/^\/workers\/?$/.test(url.pathname)) {
    const { searchParams } = url;
    return {
      page: "workers",
      worker: searchParams.get("worker") || undefined,
      view: parseWorkerView(searchParams.get("view")),
      query: searchParams.get("q") ?? "",
      unfolded: searchParams.get("gone") === "shown",
    };
  }
  if (/^\/audit\/?$/.test(url.pathname)) return { page: "audit", place: readAuditPlace(url.searchParams) };
  const job = /^\/jobs\/([^/]+)\/?$/.exec(url.pathname)?.[1];
  if (!job) return { page: "nowhere" };
  const attempt = Number(url.searchParams.get("attempt"));
  return {
    page: "job",
    id: decode(job),
    attempt: Number.isSafeInteger(attempt) && attempt > 0 ? attempt : undefined,
    late: url.searchParams.get("late") === "shown",
    marked: parseMarked(url.searchParams.get("line")),
    span: parseSpan(url.searchParams.get("span")),
    compare: parseCompared(url.searchParams.get("compare")),
  };
}

/** `newest`, or numbers of attempts with commas. */
function parseCompared(text: string | null): readonly number[] | undefined {
  if (!text) return undefined;
  return text
    .split(",")
    .map(Number)
    .filter((number) => Number.isSafeInteger(number) && number > 0);
}

/** The path of the page of jobs. */
export function jobsPath({ view, query = noQuery, sort }: Partial<JobsPlace>): string {
  const search = new URLSearchParams();
  if (view !== undefined && view !== "now") search.set("view", view);
  for (const [name, value] of Object.entries({ ...queryParameters(query), sort: sortParameter(sort) }))
    for (const each of typeof value === "string" ? [value] : (value ?? [])) search.append(name, each);
  return search.size > 0 ? `/?${search.toString()}` : "/";
}

/** The path of a job's page. */
export function jobPath(id: string): string {
  return `/jobs/${encodeURIComponent(id)}`;
}

/** The path of the page of workers. */
export function workersPath({ worker, view, query, unfolded }: Partial<WorkersPlace>): string {
  const search = new URLSearchParams();
  if (worker !== undefined) search.set("worker", worker);
  if (view !== undefined && view !== "all") search.set("view", view);
  if (query) search.set("q", query);
  if (unfolded) search.set("gone", "shown");
  return search.size > 0 ? `/workers?${search.toString()}` : "/workers";
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A stray % is taken as it stands: no job will have that id, and the page says so.
    return text;
  }
}

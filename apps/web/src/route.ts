import { parseView, type JobView } from "./jobs/job-views.ts";
import type { MarkedLines } from "./logs/log-surface.ts";
import { parseMarked } from "./logs/marked-lines.ts";

/** What a URL of this page shows. */
export type Route =
  | { readonly page: "jobs"; readonly view: JobView }
  /** `attempt` undefined: the newest. */
  | {
      readonly page: "job";
      readonly id: string;
      readonly attempt: number | undefined;
      readonly marked: MarkedLines | undefined;
    }
  | { readonly page: "nowhere" };

/** Reads a URL. */
export function parseRoute(url: URL): Route {
  if (url.pathname === "/" || /^\/jobs\/?$/.test(url.pathname))
    return { page: "jobs", view: parseView(url.searchParams.get("view")) };
  const job = /^\/jobs\/([^/]+)\/?$/.exec(url.pathname)?.[1];
  if (!job) return { page: "nowhere" };
  const attempt = Number(url.searchParams.get("attempt"));
  return {
    page: "job",
    id: decode(job),
    attempt: Number.isSafeInteger(attempt) && attempt > 0 ? attempt : undefined,
    marked: parseMarked(url.searchParams.get("line")),
  };
}

/** The path of a job's page. */
export function jobPath(id: string): string {
  return `/jobs/${encodeURIComponent(id)}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A stray % is taken as it stands: no job will have that id, and the page says so.
    return text;
  }
}

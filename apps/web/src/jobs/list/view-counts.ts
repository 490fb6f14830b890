import type { JobRecord } from "@signalbox/protocol";
import { showing, type JobView } from "../job-views.ts";
import { queryTest } from "./job-query.ts";
import type { OwnView } from "./own-views.ts";

/** The jobs that are counted, and what is known of their changes. */
export interface CountedJobs {
  /** Those that changed, came or went since the last count; undefined: all may have. */
  readonly changed: ReadonlySet<string> | undefined;
  find(id: string): JobRecord | undefined;
  all(): readonly JobRecord[];
}

/** What one view shows. */
interface Shown {
  readonly view: JobView;
  readonly fits: (job: JobRecord) => boolean;
  readonly ids: Set<string>;
}

/**
 * How many jobs each of some views shows. All jobs are tested once for a view that is new; after that only those that changed are, and
 * those that hours or the day have brought into a view or out of it.
 */
export class ViewCounts {
  readonly #shown = new Map<string, Shown>();
  #nowMs = 0;

  /** The counts at `nowMs` of the server's clock, by the paths of the views. */
  update(views: readonly OwnView[], jobs: CountedJobs, nowMs: number): ReadonlyMap<string, number> {
    const paths = new Set(views.map(({ path }) => path));
    for (const path of this.#shown.keys()) if (!jobs.changed || !paths.has(path)) this.#shown.delete(path);
    const tests = testsAt(nowMs, views);
    const touched = new Set([...(jobs.changed ?? []), ...this.#passed(jobs, nowMs)]);
    for (const each of this.#shown.values()) {
      for (const id of touched) {
        const job = jobs.find(id);
        if (job && tests.get(each.view)?.(job) && each.fits(job)) each.ids.add(id);
        else each.ids.delete(id);
      }
    }
    for (const { path, place } of views) {
      if (this.#shown.has(path)) continue;
      const fits = queryTest(place.query);
      const test = tests.get(place.view);
      const shown = jobs.all().filter((job) => test?.(job) && fits(job));
      this.#shown.set(path, { view: place.view, fits, ids: new Set(shown.map(({ id }) => id)) });
    }
    this.#nowMs = nowMs;
    return new Map([...this.#shown].map(([path, { ids }]) => [path, ids.size]));
  }

  /** Ids of jobs that a view shows now and did not at the last count, or the other way round, by the time alone. */
  #passed(jobs: CountedJobs, nowMs: number): string[] {
    if (nowMs === this.#nowMs || this.#shown.size === 0) return [];
    const views = [...new Set([...this.#shown.values()].map(({ view }) => view))];
    const tests = views.map((view) => [showing(view, this.#nowMs), showing(view, nowMs)] as const);
    return jobs.all().flatMap((job) => (tests.some(([then, now]) => then(job) !== now(job)) ? job.id : []));
  }
}

function testsAt(nowMs: number, views: readonly OwnView[]): ReadonlyMap<JobView, (job: JobRecord) => boolean> {
  return new Map(views.map(({ place }) => [place.view, showing(place.view, nowMs)]));
}

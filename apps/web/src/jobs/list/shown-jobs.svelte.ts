import type { JobRecord } from "@signalbox/protocol";
import { untrack } from "svelte";
import type { JobRoom } from "../job-room.svelte.ts";
import { comparePlaces, placing, type JobView, type Place } from "../job-views.ts";
import { queryTest, type JobQuery } from "./job-query.ts";
import { compareKeys, sortColumns, sortKey, type JobSort, type SortKey } from "./job-sort.ts";
import { OrderedJobs, type OrderRule } from "./ordered-jobs.ts";

/** What the list shows, each asked anew whenever it changed. */
export interface ShownJobsOf {
  readonly room: JobRoom;
  view(): JobView;
  query(): JobQuery;
  sort(): JobSort | undefined;
  /** Server clock, milliseconds, in steps of some seconds: what depends on hours and days is looked at anew with each. */
  viewMs(): number;
  /** The same in steps of a second: how often the order follows numbers that change all the time. */
  secondMs(): number;
}

interface SortedPlace extends Place {
  readonly key: SortKey;
}

/** The jobs of a view that fit a query, in order. A change among ten thousand costs about a millisecond. */
export class ShownJobs {
  readonly #of: ShownJobsOf;
  #seen = -1;
  #ordered: OrderedJobs<SortedPlace> | undefined;
  #orderedBy: OrderRule<SortedPlace> | undefined;
  #orderedMs = 0;
  #ids: readonly string[] = [];
  readonly #rule = $derived.by(() => ruleOf(this.#of));
  /** Ids of the jobs, in order. */
  readonly ids = $derived.by(() => this.#update());

  /** To be made while a component is set up. */
  constructor(of: ShownJobsOf) {
    this.#of = of;
  }

  #update(): readonly string[] {
    const { room } = this.#of;
    const rule = this.#rule;
    const sort = this.#of.sort();
    const secondMs = sort && sortColumns[sort.column].measured ? this.#of.secondMs() : 0;
    const { version, ids } = room.changes(this.#seen);
    const all = () => untrack(() => room.list());
    if (!this.#ordered || this.#orderedBy !== rule || this.#orderedMs !== secondMs || !ids) {
      this.#ordered = new OrderedJobs(rule);
      this.#ordered.rebuild(all());
    } else if (ids.size === 0) return this.#ids;
    else this.#ordered.update(ids, (id) => room.listed(id), all);
    this.#orderedBy = rule;
    this.#orderedMs = secondMs;
    this.#seen = version;
    return (this.#ids = this.#ordered.ids());
  }
}

function ruleOf(of: ShownJobsOf): OrderRule<SortedPlace> {
  const place = placing(of.view(), of.viewMs());
  const fits = queryTest(of.query());
  const sort = of.sort();
  const key = (job: JobRecord) =>
    sort &&
    untrack(() => sortKey(sort.column, job, sortColumns[sort.column].measured ? of.room.vitals(job.id) : undefined));
  return {
    entry: (job) => {
      if (!fits(job)) return undefined;
      const at = place(job);
      return at && { ...at, key: key(job) };
    },
    compare: (a, b) => (sort && compareKeys(a.key, b.key, sort.down)) || comparePlaces(a, b),
  };
}

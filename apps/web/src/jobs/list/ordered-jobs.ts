import type { JobRecord } from "@signalbox/protocol";

/** A job in the order, with what it is compared by. */
export interface OrderedJob {
  readonly job: JobRecord;
}

/** Which jobs belong in the list, and how they are ordered. */
export interface OrderRule<Entry extends OrderedJob> {
  /** What the job is compared by; undefined: it does not belong. */
  readonly entry: (job: JobRecord) => Entry | undefined;
  /** Never 0 for two different jobs. */
  readonly compare: (a: Entry, b: Entry) => number;
}

/** Beyond so many changes sorting anew is as cheap as merging. */
const mostMerged = 2_000;

/**
 * Jobs in order, kept in order as some of them change: what did not change is neither looked at nor compared again, so that a change among
 * ten thousand costs a walk along a list.
 */
export class OrderedJobs<Entry extends OrderedJob> {
  readonly #rule: OrderRule<Entry>;
  #entries: Entry[] = [];

  constructor(rule: OrderRule<Entry>) {
    this.#rule = rule;
  }

  /** Ids of the jobs, in order. */
  ids(): string[] {
    return this.#entries.map(({ job }) => job.id);
  }

  /** Orders all jobs anew. */
  rebuild(jobs: Iterable<JobRecord>): void {
    this.#entries = this.#make(jobs);
  }

  /** Puts jobs that changed, came or went where they belong now. */
  update(
    changed: ReadonlySet<string>,
    find: (id: string) => JobRecord | undefined,
    all: () => Iterable<JobRecord>,
  ): void {
    if (changed.size > mostMerged) {
      this.rebuild(all());
      return;
    }
    const kept = this.#entries.filter(({ job }) => !changed.has(job.id));
    const moved = this.#make([...changed].flatMap((id) => find(id) ?? []));
    this.#entries = merge(kept, moved, this.#rule.compare);
  }

  #make(jobs: Iterable<JobRecord>): Entry[] {
    const entries: Entry[] = [];
    for (const job of jobs) {
      const entry = this.#rule.entry(job);
      if (entry) entries.push(entry);
    }
    return entries.sort(this.#rule.compare);
  }
}

/** Both in one order. `b` is short: only where its entries belong is compared. */
function merge<Entry>(a: readonly Entry[], b: readonly Entry[], compare: (a: Entry, b: Entry) => number): Entry[] {
  const merged: Entry[] = [];
  let at = 0;
  for (const next of b) {
    const to = placeOf(a, at, next, compare);
    for (const entry of a.slice(at, to)) merged.push(entry);
    merged.push(next);
    at = to;
  }
  for (const entry of a.slice(at)) merged.push(entry);
  return merged;
}

/** How many entries of `a` come before `entry`; it is known that those before `from` do. */
function placeOf<Entry>(
  a: readonly Entry[],
  from: number,
  entry: Entry,
  compare: (a: Entry, b: Entry) => number,
): number {
  let low = from;
  let high = a.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = a[middle];
    if (other !== undefined && compare(other, entry) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

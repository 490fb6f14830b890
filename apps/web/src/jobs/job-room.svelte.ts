import type { JobRecord, JobTrend, OfferedJobType, Subscription, Vitals, WatchResponse } from "@signalbox/protocol";
import type { Watched } from "../live/watch-link.ts";
import { countViews, type JobView } from "./job-views.ts";
import { isOlder } from "./record-age.ts";

/* eslint-disable svelte/prefer-svelte-reactivity -- read through #version, which changes at most a few times a second */

const nothing: ReadonlySet<string> = new Set<string>();

/**
 * What this tab knows of jobs: the newest record and vitals of each, and the types on offer. Components that read it are updated at
 * most four times a second, and at once when a job's record changes. Records change far less often than vitals.
 */
export class JobRoom {
  readonly #records = new Map<string, JobRecord>();
  readonly #vitals = new Map<string, Vitals>();
  readonly #trends = new Map<string, JobTrend>();
  readonly #listed = new Set<string>();
  /** Rises when records or vitals changed, and when records did: lists are sorted and counted for the latter alone. */
  #version = $state.raw(0);
  #recordsVersion = $state.raw(0);
  #recordsChanged = false;
  #trendsVersion = $state.raw(0);
  /** Records that changed since the newest version, and those that changed with it. */
  #touched = new Set<string>();
  #changed: ReadonlySet<string> = new Set<string>();
  #labelled = $state.raw(false);
  #recordsMs = 0;
  #counted: { readonly version: number; readonly nowMs: number; readonly counts: Record<JobView, number> } | undefined;
  #complete = $state.raw(false);
  #types = $state.raw<readonly OfferedJobType[] | undefined>(undefined);
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer is due, `performance.now()`. */
  #dueMs = Infinity;
  #frame = 0;

  /** Whether the list of all jobs is complete. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Types that connected workers offer; undefined until known. */
  get types(): readonly OfferedJobType[] | undefined {
    return this.#types;
  }

  /** The newest record of a job, whether it is in the list or not. */
  record(id: string): JobRecord | undefined {
    void this.#recordsVersion;
    return this.#records.get(id);
  }

  /** The newest vitals of a job: measured, or else those of its newest entry, which outlive a restart of the server. */
  vitals(id: string): Vitals | undefined {
    void this.#version;
    const measured = this.#vitals.get(id);
    const kept = this.#records.get(id)?.vitals;
    const says = measured && (measured.asOfUs > 0n || measured.lines > 0n || measured.waitsFor !== "");
    return says ? measured : (kept ?? measured);
  }

  /** What a job has printed in the last minutes; undefined: nothing, or the server has not said. */
  trend(id: string): JobTrend | undefined {
    void this.#trendsVersion;
    return this.#trends.get(id);
  }

  /** How many jobs the list has. */
  get size(): number {
    void this.#recordsVersion;
    return this.#listed.size;
  }

  /** Whether any job of the list has, or had, a label. */
  get labelled(): boolean {
    return this.#labelled;
  }

  /** The record of a job of the list, without following it. */
  listed(id: string): JobRecord | undefined {
    return this.#listed.has(id) ? this.#records.get(id) : undefined;
  }

  /** Which records of the list changed, came or went after `version`; undefined: all may have. And the version that this is about. */
  changes(version: number): { readonly version: number; readonly ids: ReadonlySet<string> | undefined } {
    const now = this.#recordsVersion;
    if (version === now) return { version, ids: nothing };
    return { version: now, ids: version === now - 1 ? this.#changed : undefined };
  }

  /** All jobs of the list, in no order. */
  list(): JobRecord[] {
    void this.#recordsVersion;
    const jobs: JobRecord[] = [];
    for (const id of this.#listed) {
      const job = this.#records.get(id);
      if (job) jobs.push(job);
    }
    return jobs;
  }

  /** How many jobs of the list each view shows at `nowMs` of the server's clock; undefined while the list is not complete. */
  counts(nowMs: number): Record<JobView, number> | undefined {
    if (!this.#complete) return undefined;
    const version = this.#recordsVersion;
    if (this.#counted?.version !== version || this.#counted.nowMs !== nowMs)
      this.#counted = { version, nowMs, counts: countViews(this.list(), nowMs) };
    return this.#counted.counts;
  }

  /** What to follow for the list of all jobs. */
  watchList(): Watched {
    return {
      id: "jobs",
      kind: (): Subscription["kind"] => ({
        case: "jobs",
        value: { $typeName: "signalbox.v1.JobsSubscription", withJobTypes: true, withTrends: true },
      }),
      apply: (message) => this.#applyList(message),
    };
  }

  /** Takes in a record that came with an answer, if it is newer than what is known. */
  learn(job: JobRecord): void {
    const known = this.#records.get(job.id);
    if (known && isOlder(job, known)) return;
    this.#records.set(job.id, job);
    this.#touched.add(job.id);
    this.#updateSoon();
  }

  /** Takes in vitals, from whatever subscription they came. */
  learnVitals(vitals: readonly Vitals[]): void {
    for (const each of vitals) this.#vitals.set(each.jobId, each);
    this.#updateLater();
  }

  /** Takes in the types on offer. */
  learnTypes(types: readonly OfferedJobType[]): void {
    this.#types = types;
  }

  /** Ends timers. */
  close(): void {
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
  }

  #applyList(message: WatchResponse["message"]): void {
    switch (message.case) {
      case "records":
        for (const job of message.value.records) {
          this.#records.set(job.id, job);
          this.#listed.add(job.id);
          this.#touched.add(job.id);
          if (!this.#labelled && Object.keys(job.labels).length > 0) this.#labelled = true;
        }
        for (const id of message.value.gone) this.#forget(id);
        // While the first list comes in, its beginning is shown at once, and then as it grows, but not with each message.
        if (this.#complete || this.#recordsMs === 0) this.#updateSoon();
        else {
          this.#recordsChanged = true;
          this.#updateLater();
        }
        break;
      case "vitals":
        this.learnVitals(message.value.vitals);
        break;
      case "jobTypes":
        this.learnTypes(message.value.types);
        break;
      case "trends":
        for (const trend of message.value.trends) this.#trends.set(trend.jobId, trend);
        this.#trendsVersion++;
        break;
      case "caughtUp":
        this.#complete = true;
        this.#updateSoon();
        break;
      case "reset":
        for (const id of this.#listed) this.#touched.add(id);
        this.#listed.clear();
        this.#complete = false;
        break;
      default:
        break;
    }
  }

  #forget(id: string): void {
    this.#listed.delete(id);
    this.#records.delete(id);
    this.#vitals.delete(id);
    this.#trends.delete(id);
    this.#touched.add(id);
  }

  #updateSoon(): void {
    this.#recordsChanged = true;
    if (this.#frame !== 0) return;
    // A single change is seen in the next frame, a storm of them twenty times a second.
    const restMs = 50 - (performance.now() - this.#recordsMs);
    if (!document.hidden && restMs > 0) {
      this.#updateLater(restMs);
      return;
    }
    this.#frame = requestAnimationFrame(() => this.#update());
  }

  /** Updates after `waitMs` at the latest. */
  #updateLater(waitMs = 250): void {
    const dueMs = performance.now() + waitMs;
    if (dueMs >= this.#dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#dueMs = Infinity;
      // A hidden tab draws nothing: its next frame is when it is seen again.
      if (document.hidden) this.#frame ||= requestAnimationFrame(() => this.#update());
      else this.#update();
    }, waitMs);
  }

  #update(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#dueMs = Infinity;
    this.#frame = 0;
    this.#version++;
    if (!this.#recordsChanged) return;
    this.#recordsChanged = false;
    this.#recordsMs = performance.now();
    this.#changed = this.#touched;
    this.#touched = new Set();
    this.#recordsVersion++;
  }
}

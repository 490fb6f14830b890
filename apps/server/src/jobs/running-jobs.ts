import type { Job } from "./job.ts";

/** Jobs that take a slot, counted by the process that has them, by type and by label. */
export class RunningJobs {
  readonly #processOf = new Map<Job, string>();
  readonly #ofProcess = new Map<string, number>();
  readonly #ofType = new Map<string, number>();
  readonly #ofLabel = new Map<string, Map<string, number>>();

  /** The process has the job. */
  take(job: Job, incarnation: string): void {
    const before = this.#processOf.get(job);
    if (before === incarnation) return;
    this.#processOf.set(job, incarnation);
    add(this.#ofProcess, incarnation, 1);
    if (before === undefined) this.#count(job, 1);
    else add(this.#ofProcess, before, -1);
  }

  /** Nobody has the job. Returns whether somebody had it. */
  release(job: Job): boolean {
    const process = this.#processOf.get(job);
    if (process === undefined) return false;
    this.#processOf.delete(job);
    add(this.#ofProcess, process, -1);
    this.#count(job, -1);
    return true;
  }

  ofProcess(incarnation: string): number {
    return this.#ofProcess.get(incarnation) ?? 0;
  }

  ofType(type: string): number {
    return this.#ofType.get(type) ?? 0;
  }

  ofLabel(key: string, value: string): number {
    return this.#ofLabel.get(key)?.get(value) ?? 0;
  }

  /** The values of a label among the jobs that run, and how many have each. */
  valuesOf(key: string): Iterable<readonly [string, number]> {
    return this.#ofLabel.get(key) ?? [];
  }

  #count({ record }: Job, by: 1 | -1): void {
    add(this.#ofType, record.type, by);
    for (const [key, value] of Object.entries(record.labels)) {
      let values = this.#ofLabel.get(key);
      if (!values) this.#ofLabel.set(key, (values = new Map<string, number>()));
      add(values, value, by);
      if (values.size === 0) this.#ofLabel.delete(key);
    }
  }
}

function add(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}

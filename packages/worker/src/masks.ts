import type { Job } from "./job.ts";

const masks = new WeakMap<object, (text: string) => string>();

/** From now on this is how what a job says is masked. */
export function masksWith(job: Job<unknown>, mask: (text: string) => string): void {
  masks.set(job, mask);
}

/** How what a job says is masked, for whoever reads its output beside its log, which masks by itself. */
export function maskOf(job: Job<unknown>): (text: string) => string {
  return masks.get(job) ?? ((text) => text);
}

import type { JobRecord, JobType, StartJobRequest } from "@signalbox/protocol";
import { Refused } from "../refused.ts";

// Jobs that not every worker may run: they name the only one, or the labels that it must have.

const selector = { entries: 16, key: 100, value: 500 };
const pattern = /^[A-Za-z0-9._:-]{1,100}$/;

/** What a worker's name is made of, in words. */
export const workerIdWords = "1 to 100 of A-Z a-z 0-9 . _ : -";

/** Whether a text can be a worker's name. */
export function isWorkerId(text: string): boolean {
  return pattern.test(text);
}

/** Why a job whose only worker is forgotten can never run. */
export function workerGoneWords(workerId: string): string {
  return `only worker ${workerId} may run it, which is gone: start it there again`;
}

/** Throws Refused unless somebody can run the job: the worker that it names is known, and a pinned type names one. */
export function checkWorker(
  { workerId }: StartJobRequest,
  type: JobType,
  isKnown: (workerId: string) => boolean,
): void {
  if (workerId === "") {
    if (!type.pinned) return;
    throw new Refused(
      "invalid",
      `Jobs of type '${type.name}' are started by the worker that runs them. Name it in worker_id.`,
    );
  }
  if (!isWorkerId(workerId))
    throw new Refused("invalid", `worker_id '${workerId.slice(0, 100)}' is no worker's name: ${workerIdWords}.`);
  if (!isKnown(workerId))
    throw new Refused("wrong-state", `No worker ${workerId} is known, so nobody would run the job. Connect it first.`);
}

/** Whether a worker of a name is known, and whether it is there now. */
export interface NamedWorkers {
  isKnown(workerId: string): boolean;
  isThere(workerId: string): boolean;
}

/**
 * Throws Refused if another attempt would wait for nobody: the only worker that may run the job is forgotten, or has gone with the program
 * that it had started by itself. Any other one may come back.
 */
export function checkRetry({ workerId }: JobRecord, type: JobType | undefined, workers: NamedWorkers): void {
  if (workerId === "") return;
  if (!(type?.pinned ? workers.isThere(workerId) : workers.isKnown(workerId)))
    throw new Refused("wrong-state", `The job cannot be retried, since ${workerGoneWords(workerId)}.`);
}

/** Throws Refused unless labels that a worker must have are few, and such as a worker can have. */
export function checkSelector(labels: Record<string, string>): void {
  const entries = Object.entries(labels);
  if (entries.length > selector.entries)
    throw new Refused(
      "invalid",
      `worker_selector has ${entries.length} labels, at most ${selector.entries} are allowed.`,
    );
  for (const [key, value] of entries)
    if (key.length < 1 || key.length > selector.key || value.length > selector.value)
      throw new Refused(
        "invalid",
        `worker_selector '${key.slice(0, selector.key)}': a key has 1 to ${selector.key} characters, a value at most ${selector.value}.`,
      );
}

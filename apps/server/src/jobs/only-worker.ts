import type { JobRecord, JobType, StartJobRequest } from "@signalbox/protocol";
import { Refused } from "../refused.ts";

// Jobs that name the only worker that may run them.

const pattern = /^[A-Za-z0-9._:-]{1,100}$/;

/** What a worker's name is made of, in words. */
export const workerIdWords = "1 to 100 of A-Z a-z 0-9 . _ : -";

/** Whether a text can be a worker's name. */
export function isWorkerId(text: string): boolean {
  return pattern.test(text);
}

/** Why a job whose only worker is forgotten can never run. */
export function workerGoneWords(workerId: string): string {
  return `its program was started by worker ${workerId}, which is gone: start it there again`;
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

/** Throws Refused if the job may run on one worker alone and that is not connected: another attempt would wait for nobody. */
export function checkRetry({ workerId }: JobRecord, isConnected: (workerId: string) => boolean): void {
  if (workerId !== "" && !isConnected(workerId))
    throw new Refused("wrong-state", `The job cannot be retried, since ${workerGoneWords(workerId)}.`);
}

import { readConnectConfig } from "./config.ts";
import { RunningWorker } from "./running-worker.ts";
import type { Worker, WorkerOptions } from "./worker.ts";

/**
 * Starts a worker. Resolves at once: it connects, and connects again, for as long as it lives. Rejects with TypeError if an option
 * cannot be used.
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const config = readConnectConfig(options);
  const { slots = 4, jobs } = options;
  if (!Number.isInteger(slots) || slots < 1 || slots > 1000)
    throw new TypeError(`a worker has 1 to 1,000 slots, not ${slots}`);
  if (jobs.length === 0) throw new TypeError("a worker offers at least one job type");
  const types = new Set(jobs.map(({ type }) => type));
  if (types.size !== jobs.length) throw new TypeError("a worker offers each job type once");
  const worker = new RunningWorker(options, config);
  worker.begin();
  return worker;
}

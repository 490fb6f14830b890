import { readConnectConfig } from "./config.ts";
import { readRedaction } from "./redaction/redact-options.ts";
import { RunningWorker } from "./running-worker.ts";
import { readSpoolConfig } from "./spool/spool-config.ts";
import { deliverSpools } from "./spool/deliver-spools.ts";
import type { Worker, WorkerOptions } from "./worker.ts";

/**
 * Starts a worker. Resolves without waiting for the server: the worker connects, and connects again, for as long as it lives. Rejects
 * with TypeError if an option cannot be used.
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const config = readConnectConfig(options);
  const { slots = 4, jobs } = options;
  if (!Number.isInteger(slots) || slots < 1 || slots > 1000)
    throw new TypeError(`a worker has 1 to 1,000 slots, not ${slots}`);
  if (jobs.length === 0) throw new TypeError("a worker offers at least one job type");
  const types = new Set(jobs.map(({ type }) => type));
  if (types.size !== jobs.length) throw new TypeError("a worker offers each job type once");
  const redaction = readRedaction(options.redact);
  // The worker's own token is a secret, too, and known before the first line.
  const readToken = async () => {
    const token = await config.readToken();
    redaction.redactor.learn(token);
    return token;
  };
  await readToken().catch(() => undefined);
  const spool = readSpoolConfig(options.spool);
  const notice = (message: string) => worker.notice(message);
  const worker = new RunningWorker(options, { ...config, readToken }, redaction, {
    ...(spool ? { onWelcome: deliverSpools(spool, config, { redaction, notice }) } : {}),
  });
  worker.begin();
  return worker;
}

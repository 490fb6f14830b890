import type { Journal } from "../store/store.ts";
import type { LogEnd } from "./attempt-log.ts";
import { emptyMark, logTopic } from "./log-entry.ts";
import { StoredLogs } from "./stored-logs.ts";

/** Topic of the lines that came of an attempt after its log was sealed. */
export function lateTopic(jobId: string, attempt: number): string {
  return `${logTopic(jobId, attempt)}/late`;
}

/**
 * Late evidence: lines of attempts that the room had ended without their worker's word. They never touch the attempt's own log, which is
 * sealed, and go on where it ends, with the worker's own numbers. A late log is never sealed: nobody knows whether more comes.
 */
export class LateLogs extends StoredLogs {
  constructor(journal: Journal, logs: StoredLogs) {
    super(journal, { topic: lateTopic, begin: (jobId, attempt) => beginOf(logs, jobId, attempt) });
  }
}

/**
 * Where an attempt's late log begins: where its own log ends. Counts begin anew; order times and levels that a continuing piece inherits
 * go on.
 */
async function beginOf(logs: StoredLogs, jobId: string, attempt: number): Promise<LogEnd> {
  const { nextLine, mark } = await logs.end(jobId, attempt);
  return { nextLine, mark: { ...emptyMark(), orderUs: mark.orderUs, carryLevels: mark.carryLevels } };
}

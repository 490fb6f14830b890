import type { Clock } from "../clock.ts";
import type { Journal } from "../store/store.ts";
import { AttemptLog, type LogEnd } from "./attempt-log.ts";
import { emptyMark, logTopic } from "./log-entry.ts";
import { StoredLogs } from "./stored-logs.ts";

/** So much late text is kept of an attempt, bytes. */
const mostLateBytes = 64 * 1024 * 1024;

/** A late log to append to. */
export interface LateLog {
  readonly log: AttemptLog;
  /** The first number that it can hold: where the attempt's own log ends. */
  readonly firstLine: number;
}

/** Topic of the lines that came of an attempt after its log was sealed. */
export function lateTopic(jobId: string, attempt: number): string {
  return `${logTopic(jobId, attempt)}/late`;
}

/**
 * Late evidence: lines of attempts that the room had ended without their worker's word. They never touch the attempt's own log, which is
 * sealed, and go on where it ends, with the worker's own numbers. A late log is never sealed: nobody knows whether more comes.
 */
export class LateLogs extends StoredLogs {
  readonly #journal: Journal;
  readonly #logs: StoredLogs;
  readonly #clock: Clock;
  readonly #mostBytes: number;

  constructor(journal: Journal, logs: StoredLogs, clock: Clock, mostBytes = mostLateBytes) {
    super(journal, { topic: lateTopic, begin: (jobId, attempt) => beginOf(logs, jobId, attempt) });
    this.#journal = journal;
    this.#logs = logs;
    this.#clock = clock;
    this.#mostBytes = mostBytes;
  }

  /** The first number that an attempt's late log can hold: where its own log ends. */
  async firstLine(jobId: string, attempt: number): Promise<number> {
    return (await beginOf(this.#logs, jobId, attempt)).nextLine;
  }

  /** Opens the door of an attempt's late log. The attempt's own log must be sealed. One at a time: of two, the first append wins. */
  async open(jobId: string, attempt: number): Promise<LateLog> {
    const begin = await beginOf(this.#logs, jobId, attempt);
    const options = { topic: this.topic(jobId, attempt), begin, mostBlobBytes: this.#mostBytes };
    const log = await AttemptLog.open(this.#journal, jobId, attempt, this.#clock, options);
    return { log, firstLine: begin.nextLine };
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

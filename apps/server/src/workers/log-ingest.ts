import type { PushLogsOpen } from "@signalbox/protocol";
import type { Jobs } from "../jobs/jobs.ts";
import { openAttempt } from "../jobs/job-record.ts";
import type { AttemptLog, LogEnd } from "../logs/attempt-log.ts";
import type { Logs } from "../logs/logs.ts";
import { Refused } from "../refused.ts";
import { Conflict, Fenced, UnknownOutcome } from "../store/store.ts";
import type { IngestBudget } from "./ingest-budget.ts";
import { LineRate } from "./line-rate.ts";
import { PushStream } from "./push-stream.ts";
import type { WorkerSession } from "./worker-session.ts";

interface OpenLog {
  readonly log: Promise<AttemptLog>;
  readonly rate: LineRate;
}

/** Counts what came in since the server started. */
export interface IngestCounts {
  chunks: number;
  lines: number;
  bytes: number;
  refused: number;
}

/** Takes lines from workers to the attempts' logs and acknowledges what is on disk. */
export class LogIngest {
  readonly counts: IngestCounts = { chunks: 0, lines: 0, bytes: 0, refused: 0 };
  readonly budget: IngestBudget;
  readonly #jobs: Jobs;
  readonly #logs: Logs;
  /** By job and attempt. One door for an attempt, however many streams the worker opens one after the other. */
  readonly #open = new Map<string, OpenLog>();

  constructor(jobs: Jobs, logs: Logs, budget: IngestBudget) {
    this.#jobs = jobs;
    this.#logs = logs;
    this.budget = budget;
  }

  /**
   * Opens the stream of one PushLogs call. `changed` is called whenever there is something to do; see PushStream. Rejects with Refused
   * unless the attempt runs in the session's process.
   */
  async open(open: PushLogsOpen, session: WorkerSession, changed: () => void): Promise<PushStream> {
    const door = this.#doorOf(open, session);
    const log = await this.#openLog(open, door);
    return new PushStream({
      log,
      session,
      budget: this.budget,
      counts: this.counts,
      stored: (lines) => {
        this.counts.lines += lines;
        this.#stored(log);
      },
      failed: (error) => this.#failed(open, door, error),
      changed,
    });
  }

  /** Forgets the door of an attempt that has ended. */
  close(jobId: string, attempt: number): void {
    this.#open.delete(key(jobId, attempt));
  }

  /** Forgets a door that failed; not the one that was opened after it. */
  #closeDoor(open: PushLogsOpen, door: OpenLog): void {
    if (this.#open.get(key(open.jobId, open.attempt)) === door) this.close(open.jobId, open.attempt);
  }

  /** Brings the line rates of logs that have fallen quiet down. Call it about every second. */
  async look(): Promise<void> {
    for (const [id, { log }] of this.#open) {
      const [jobId] = id.split("/");
      const vitals = jobId === undefined ? undefined : this.#jobs.vitals.peek(jobId);
      if (vitals && vitals.linesPerSecond > 0) this.#stored(await log);
    }
  }

  /** The door of the attempt, new or known. Throws Refused unless the attempt runs in the session's process. */
  #doorOf(open: PushLogsOpen, session: WorkerSession): OpenLog {
    const attempt = openAttempt(this.#jobs.get(open.jobId).record);
    if (
      attempt?.number !== open.attempt ||
      attempt.workerId !== session.workerId ||
      attempt.incarnation !== session.incarnation
    ) {
      throw new Refused(
        "wrong-state",
        `Attempt ${open.attempt} of job ${open.jobId} does not run in this process: its lines are not taken.`,
      );
    }
    const id = key(open.jobId, open.attempt);
    let door = this.#open.get(id);
    if (!door) this.#open.set(id, (door = { log: this.#logs.open(open.jobId, open.attempt), rate: new LineRate() }));
    return door;
  }

  async #openLog(open: PushLogsOpen, door: OpenLog): Promise<AttemptLog> {
    try {
      const log = await door.log;
      this.#stored(log);
      return log;
    } catch (error) {
      throw this.#failed(open, door, error);
    }
  }

  /** Puts what is on disk into the job's vitals. */
  #stored(log: AttemptLog): void {
    const rate = this.#open.get(key(log.jobId, log.attempt))?.rate;
    if (!rate) return;
    const { nextLine, mark }: LogEnd = log.durable;
    this.#jobs.vitals.change(log.jobId, (vitals) => {
      if (vitals.attempt !== log.attempt) return;
      const lines = nextLine - 1 - Number(mark.missingLines);
      vitals.lines = BigInt(lines);
      vitals.linesPerSecond = rate.next(lines, performance.now());
      vitals.logBytes = mark.blobBytes;
      vitals.levelCounts = mark.levelCounts;
    });
  }

  /** What a failed append means for the worker. */
  #failed(open: PushLogsOpen, door: OpenLog, error: unknown): Error {
    if (error instanceof Refused) {
      this.counts.refused++;
      return error;
    }
    this.#closeDoor(open, door);
    if (error instanceof Fenced) {
      return new Refused(
        "wrong-state",
        `The log of attempt ${open.attempt} of job ${open.jobId} is sealed: no line can follow.`,
      );
    }
    if (error instanceof Conflict || error instanceof UnknownOutcome) {
      return new Refused(
        "unavailable",
        "The lines were not stored: open the stream again and go on from the next_line that it tells.",
      );
    }
    return asError(error);
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function key(jobId: string, attempt: number): string {
  return `${jobId}/${attempt}`;
}

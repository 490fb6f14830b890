import { LogRefusalSchema, type Attempt, type PushLogsOpen, type Vitals } from "@signalbox/protocol";
import type { Jobs } from "../jobs/jobs.ts";
import type { VitalsBoard } from "../jobs/vitals-board.ts";
import { endedUnheard } from "../jobs/job-record.ts";
import type { AttemptLog, LogEnd } from "../logs/attempt-log.ts";
import type { Sender } from "../logs/header.ts";
import type { Logs } from "../logs/logs.ts";
import { Refused } from "../refused.ts";
import { Conflict, Fenced, NotStored, UnknownOutcome } from "../store/store.ts";
import type { IngestBudget } from "./ingest-budget.ts";
import { LateDoor, LateDoors } from "./late-doors.ts";
import { LineRate } from "./line-rate.ts";
import { OpenStreams } from "./open-streams.ts";
import { PushStream } from "./push-stream.ts";
import { SpoolStreams } from "./spool-streams.ts";
import type { WorkerSession } from "./worker-session.ts";

/** The door of an attempt that runs, and what the room is shown of its lines. */
class OpenLog {
  readonly log: Promise<AttemptLog>;
  readonly #vitals: VitalsBoard;
  readonly #rate = new LineRate();
  #opened: AttemptLog | undefined;

  constructor(log: Promise<AttemptLog>, vitals: VitalsBoard) {
    this.log = log;
    this.#vitals = vitals;
  }

  /** Has the job's vitals tell what is on disk. */
  show(log: AttemptLog): void {
    // Its rate is counted from here, whenever somebody looks first.
    if (!this.#opened) this.#rate.next(linesOf(log.durable), performance.now());
    this.#opened = log;
    this.#vitals.changeWhenRead(log.jobId, this.#measure);
  }

  readonly #measure = (vitals: Vitals) => {
    const log = this.#opened;
    if (vitals.attempt !== log?.attempt) return;
    const { mark } = log.durable;
    const lines = linesOf(log.durable);
    vitals.lines = BigInt(lines);
    vitals.linesPerSecond = this.#rate.next(lines, performance.now());
    vitals.logBytes = mark.blobBytes;
    vitals.missingLines = mark.missingLines;
    vitals.levelCounts = mark.levelCounts;
  };
}

/** Counts what came in since the server started. */
export interface IngestCounts {
  chunks: number;
  lines: number;
  bytes: number;
  refused: number;
  /** Of `lines`, those that are late evidence. */
  lateLines: number;
}

/** Takes lines from workers to the attempts' logs and acknowledges what is on disk. */
export class LogIngest {
  readonly counts: IngestCounts = { chunks: 0, lines: 0, bytes: 0, refused: 0, lateLines: 0 };
  readonly budget: IngestBudget;
  readonly #jobs: Jobs;
  readonly #logs: Logs;
  /** By job and attempt. One door for an attempt, however many streams the worker opens one after the other. */
  readonly #open = new Map<string, OpenLog>();
  readonly #late: LateDoors;
  readonly #spools = new SpoolStreams();
  readonly #streams = new OpenStreams();

  constructor(jobs: Jobs, logs: Logs, budget: IngestBudget) {
    this.#jobs = jobs;
    this.#logs = logs;
    this.#late = new LateDoors(logs);
    this.budget = budget;
  }

  /**
   * Opens the stream of one PushLogs call, to the attempt's own log or, if the room ended the attempt without its worker's word, to its
   * late evidence. Without a session somebody delivers the spool of a process that is not connected. `changed` is called whenever there is
   * something to do; see PushStream. Rejects with Refused unless the attempt is that process's.
   */
  async open(open: PushLogsOpen, session: WorkerSession | undefined, changed: () => void): Promise<PushStream> {
    const attempt = await this.#attemptOf(open, session);
    if (!session) return this.#openSpool(open, attempt, changed);
    return this.#openStream(open, attempt, session, changed);
  }

  async #openSpool(open: PushLogsOpen, attempt: Attempt, changed: () => void): Promise<PushStream> {
    let stream: PushStream | undefined;
    let stopped: Refused | undefined;
    const spool = {
      incarnation: open.incarnation,
      stop: (reason: Refused) => {
        stopped = reason;
        stream?.end(reason);
        changed();
      },
    };
    this.#spools.add(spool);
    const over = () => this.#spools.delete(spool);
    try {
      // The last that is known of the clock of whoever wrote the lines.
      const clockOffsetUs = (await this.#logs.clockOffsetUs(open.jobId, open.attempt)) ?? Number(attempt.clockOffsetUs);
      stream = await this.#openStream(open, attempt, { incarnation: open.incarnation, clockOffsetUs }, changed, over);
      if (stopped) stream.end(stopped);
      return stream;
    } catch (error) {
      over();
      throw error;
    }
  }

  async #openStream(
    open: PushLogsOpen,
    attempt: Attempt,
    sender: Sender,
    changed: () => void,
    over: () => void = () => undefined,
  ): Promise<PushStream> {
    const late = attempt.endedAtUs === 0n ? undefined : this.#late.enter(this.#jobs.get(open.jobId), open.attempt);
    const door = late ?? this.#doorOf(open);
    const id = key(open.jobId, open.attempt);
    let log: AttemptLog;
    try {
      log = await this.#openLog(open, door);
    } catch (error) {
      if (late) this.#late.leave(late);
      throw error;
    }
    const fail = (error: unknown) => {
      stream.end(this.#failed(open, door, error));
      changed();
    };
    const stream = new PushStream({
      log,
      sender,
      late: late !== undefined,
      budget: this.budget,
      counts: this.counts,
      stored: (lines) => {
        this.counts.lines += lines;
        if (door instanceof LateDoor) {
          this.counts.lateLines += lines;
          door.note().catch(fail);
        } else if (this.#open.get(id) === door) door.show(log);
      },
      failed: (error) => this.#failed(open, door, error),
      changed,
      over: () => {
        if (late) this.#late.leave(late);
        this.#streams.delete(stream);
        over();
      },
    });
    this.#streams.add(stream, changed);
    return stream;
  }

  /** Takes no more lines. Resolves when those that were taken are stored and acknowledged, but after `mostMs` at the latest. */
  drain(mostMs: number): Promise<void> {
    return this.#streams.drain(mostMs);
  }

  /** The process is connected: nobody else delivers its lines any more. */
  connected(incarnation: string): void {
    this.#spools.returned(incarnation);
  }

  /** Forgets the door of an attempt that has ended. */
  close(jobId: string, attempt: number): void {
    this.#open.delete(key(jobId, attempt));
  }

  /** Forgets a door that failed; not the one that was opened after it. */
  #closeDoor(open: PushLogsOpen, door: OpenLog | LateDoor): void {
    if (door instanceof LateDoor) this.#late.forget(door);
    else if (this.#open.get(key(open.jobId, open.attempt)) === door) this.close(open.jobId, open.attempt);
  }

  /** Brings the line rates of logs that have fallen quiet down. Call it about every second. */
  async look(): Promise<void> {
    for (const [id, door] of this.#open) {
      const [jobId] = id.split("/");
      const vitals = jobId === undefined ? undefined : this.#jobs.vitals.peek(jobId);
      if (!vitals || vitals.linesPerSecond === 0) continue;
      const log = await door.log;
      if (this.#open.get(id) === door) door.show(log);
    }
  }

  /** The attempt, if lines of it can be taken. Rejects with Refused unless it is that process's and its log is open or it has late evidence. */
  async #attemptOf(open: PushLogsOpen, session: WorkerSession | undefined): Promise<Attempt> {
    const { jobId, incarnation } = open;
    const attempt = this.#jobs.get(jobId).record.attempts.find(({ number }) => number === open.attempt);
    if (attempt?.incarnation !== incarnation || (session && attempt.workerId !== session.workerId)) {
      throw new Refused(
        "wrong-state",
        `Attempt ${open.attempt} of job ${jobId} does not run in this process: its lines are not taken.`,
      );
    }
    if (attempt.endedAtUs === 0n || endedUnheard(attempt)) return attempt;
    const { nextLine } = await this.#logs.end(jobId, open.attempt);
    throw new Refused(
      "wrong-state",
      `Attempt ${open.attempt} of job ${jobId} has ended by its worker's word, and all its lines are stored: none can follow.`,
      [{ desc: LogRefusalSchema, value: { nextLine: BigInt(nextLine), reason: "the attempt has ended" } }],
    );
  }

  /** The door of the attempt's own log, new or known. */
  #doorOf(open: PushLogsOpen): OpenLog {
    const id = key(open.jobId, open.attempt);
    let door = this.#open.get(id);
    if (!door) this.#open.set(id, (door = new OpenLog(this.#logs.open(open.jobId, open.attempt), this.#jobs.vitals)));
    return door;
  }

  async #openLog(open: PushLogsOpen, door: OpenLog | LateDoor): Promise<AttemptLog> {
    try {
      const log = await door.log;
      // What was stored before the job's history could say so is noted now.
      if (door instanceof LateDoor) await door.note();
      else if (this.#open.get(key(open.jobId, open.attempt)) === door) door.show(log);
      return log;
    } catch (error) {
      throw this.#failed(open, door, error);
    }
  }

  /** What a failed append means for the worker. */
  #failed(open: PushLogsOpen, door: OpenLog | LateDoor, error: unknown): Error {
    if (error instanceof Refused) {
      this.counts.refused++;
      return error;
    }
    this.#closeDoor(open, door);
    if (error instanceof Fenced) {
      const attempt = this.#jobs.find(open.jobId)?.record.attempts.find(({ number }) => number === open.attempt);
      if (attempt && endedUnheard(attempt))
        return new Refused(
          "unavailable",
          `Attempt ${open.attempt} of job ${open.jobId} was given up meanwhile: open the stream again, its lines are late evidence from now on.`,
        );
      return new Refused(
        "wrong-state",
        `The log of attempt ${open.attempt} of job ${open.jobId} is sealed: no line can follow.`,
      );
    }
    if (error instanceof Conflict || error instanceof UnknownOutcome || error instanceof NotStored) {
      return new Refused(
        "unavailable",
        "The lines were not stored: open the stream again and go on from the next_line that it tells.",
      );
    }
    return asError(error);
  }
}

/** How many lines of a log are there. */
function linesOf({ nextLine, mark }: LogEnd): number {
  return nextLine - 1 - Number(mark.missingLines);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function key(jobId: string, attempt: number): string {
  return `${jobId}/${attempt}`;
}

import type { JsonObject } from "@bufbuild/protobuf";
import type { ConnectOptions } from "./config.ts";
import type { JobDefinition } from "./job.ts";
import type { WorkerState } from "./link-state.ts";
import type { RedactOptions } from "./redaction/redact-options.ts";
import type { SpoolOptions } from "./spool/spool-config.ts";

/** How a worker is started. */
export interface WorkerOptions extends ConnectOptions {
  /** The job types that it offers; each type once. */
  readonly jobs: readonly JobDefinition<never>[];
  /** How many attempts run at the same time, 1 to 1,000. Default 4. */
  readonly slots?: number;
  /** For selectors and for people. */
  readonly labels?: Readonly<Record<string, string>>;
  /** The worker's name is this process's alone: the server forgets it when the worker is gone. Default: no. */
  readonly transient?: boolean;
  /**
   * Lines are written to files on this machine before they are sent, so that a worker that is killed delivers them at its next start, and
   * a long absence of the server fills the disk and not the memory. `false`: they are in memory only. Default: see {@link SpoolOptions}.
   */
  readonly spool?: SpoolOptions | false;
  /** Most bytes of lines in memory that are not in the spool, all jobs together. Default 64 MB. */
  readonly bufferBytes?: number;
  /** Which secrets are masked in all that the worker says of its jobs. Default: see {@link RedactOptions}. */
  readonly redact?: RedactOptions;
  /** How long jobs have to end by themselves when the worker stops, milliseconds. Default 5,000. */
  readonly stopGraceMs?: number;
  /** How long `stop` takes at most, milliseconds: what is not delivered then is not delivered. Default 15,000. */
  readonly stopTimeoutMs?: number;
  /** A server that says nothing for so long is taken for gone, milliseconds. Default 10,000. */
  readonly silenceMs?: number;
  /** No delay between two tries to connect is longer than this, milliseconds. Default 5,000. */
  readonly longestBackOffMs?: number;
  /** Called with each new state. */
  readonly onState?: (state: WorkerState) => void;
  /** Called with what the worker's owner should know. Default: a line on stderr. */
  readonly onNotice?: (message: string) => void;
  /** Called with a sentence when the link is lost, and when it is back. Default: `onNotice`. */
  readonly onLink?: (sentence: string) => void;
}

/** A running worker. */
export interface Worker {
  readonly id: string;
  /** Random for each process. */
  readonly incarnation: string;
  readonly state: WorkerState;
  /** Jobs that run at this moment. */
  readonly running: number;
  /** Bytes of lines that the server has not acknowledged, all jobs together. */
  readonly bufferedBytes: number;
  /** How many of them are in the spool, and outlive the process. */
  readonly spooledBytes: number;
  /** Lines that were dropped because the spool was full; gaps stand for them. */
  readonly droppedLines: number;
  /** Resolves when the worker is closed, be it by `stop` or because the server said so. */
  readonly closed: Promise<void>;
  /**
   * Starts a job of one of this worker's pinned types here and now: its function begins at once, whether or not the server is there. Its
   * lines and progress wait in the worker, within the usual bound, until the server has given the job its id; then they are delivered
   * from line 1, with the times at which they were printed, and levers arrive. Throws TypeError if the worker has no such pinned type,
   * Error if it stops.
   */
  startHere(type: string, options?: StartHereOptions): StartedHere;
  /**
   * Takes no more work, lets what runs end (it is reported as RELEASED and queues again), delivers its lines, and leaves. May be called
   * again. Resolves when everything is closed.
   */
  stop(reason?: string): Promise<void>;
}

/** What a job that a worker starts itself is given. */
export interface StartHereOptions {
  /** For people. Default: the type's name. */
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** As the type's schema describes them: the job has them at once, so nobody fills in defaults. */
  readonly parameters?: JsonObject;
  /** Names the start: the same one is the same job, however often it is asked for. Default: random. */
  readonly requestId?: string;
}

/** A job that a worker has started itself. None of the promises has to be awaited. */
export interface StartedHere {
  /**
   * The job's id, as soon as the server knows it. Rejects if the server refuses the job: then the function runs on, and what it prints is
   * dropped, with a notice. Rejects, too, if the worker is closed before.
   */
  readonly jobId: Promise<string>;
  /** Resolves when the function has ended. */
  readonly settled: Promise<void>;
  /** Resolves when the server has the last line and the end. Rejects if it never will: refused, given up, or the worker is closed. */
  readonly ended: Promise<void>;
}

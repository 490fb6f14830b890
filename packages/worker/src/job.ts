import type { JsonObject } from "@bufbuild/protobuf";
import type { Fields } from "./fields.ts";
import { leverNames, type LeverName } from "./levers.ts";

/** What a job function is given. */
export interface Job<Parameters = JsonObject> {
  /** The job. */
  readonly id: string;
  /** The attempt, from 1. */
  readonly attempt: number;
  /** For people. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** As the job type's schema describes them; the server has checked them. */
  readonly parameters: Parameters;
  /** What the attempt before saved with `checkpoint`; undefined if nothing. */
  readonly saved: Uint8Array | undefined;
  readonly log: JobLog;
  /**
   * Aborts when the job shall end: it is canceled (the reason is a {@link JobCanceled}), its worker stops ({@link JobReleased}), or it
   * belongs to somebody else now ({@link JobFenced}). Throw the reason to end early; a normal return says that the work is complete.
   */
  readonly signal: AbortSignal;
  /** Says how far the job is. What is left out stays as it was. */
  readonly progress: (progress: Progress) => void;
  /**
   * Goes through `items`: waits before each while the job is paused, as the speed asks, or while too many lines wait for the server, and
   * counts the items done. An item is done when the next one is asked for; the one that is left by `break` or an error is not. An array
   * says how many there are in all, unless `progress` has said it. Throws `signal.reason` when the signal aborts. Several loops of a
   * job share one speed; a pause is reported when the first of them stands.
   */
  readonly paced: <T>(items: Iterable<T> | AsyncIterable<T>) => AsyncGenerator<T, void, undefined>;
  /**
   * A safe point: waits as `paced` does, but without the speed. `save` is kept for the next attempt (at most 64 KiB, sent at most once
   * a second and at the end). Throws `signal.reason` when the signal aborts, RangeError if `save` is too long.
   */
  readonly checkpoint: (save?: Uint8Array) => Promise<void>;
}

/** How far a job is. */
export interface Progress {
  /** Items done; set by `paced` too. */
  readonly done?: number;
  /** Items in all; undefined: unknown. */
  readonly total?: number | undefined;
  readonly bytesDone?: number;
  readonly bytesTotal?: number | undefined;
  /** What the job does now, for people; at most 200 characters. */
  readonly phase?: string;
}

/**
 * The log of a job. Calls never block. A worker holds at most a bound of bytes that the server has not acknowledged; above it `paced`,
 * `checkpoint` and `ready` wait, and a job that uses none of them fails at twice the bound: then these calls throw LogOverflow.
 */
export interface JobLog {
  readonly trace: (text: string, fields?: Fields) => void;
  readonly debug: (text: string, fields?: Fields) => void;
  /** Writes `text` and a newline. Newlines in it make more lines; `fields` stand on the first. */
  readonly info: (text: string, fields?: Fields) => void;
  readonly warn: (text: string, fields?: Fields) => void;
  readonly error: (text: string, fields?: Fields) => void;
  readonly fatal: (text: string, fields?: Fields) => void;
  /** Writes bytes exactly as they are. Lines end where they say; the level is detected by the server. Default source: task. */
  readonly write: (bytes: Uint8Array | string, source?: "stdout" | "stderr" | "task") => void;
  /** Resolves when the worker may hold more lines. Throws `signal.reason` when the job's signal aborts. */
  readonly ready: () => Promise<void>;
}

/** A kind of job that a worker offers. */
export interface JobDefinition<Parameters = JsonObject> {
  /** 1 to 60 of a-z 0-9 . _ - */
  readonly type: string;
  /** One sentence for people. */
  readonly description?: string;
  /** JSON Schema (2020-12) of the parameters: type object, with titles, defaults and bounds. The form to start a job is made from it. */
  readonly parameters?: JsonObject;
  /** What the job obeys besides CANCEL. Default: run and speed, which is what `job.paced` gives. */
  readonly levers?: readonly LeverName[];
  /** What items are called, plural. */
  readonly itemNoun?: string;
  /** Speed of a job that nobody has given one, items per second; undefined: unlimited. */
  readonly defaultItemsPerSecond?: number;
  /** Does the work. Returning says that it is complete; throwing that it failed, with the error's message as the reason. */
  run(job: Job<Parameters>): Promise<void> | void;
}

/** Checks a job type and gives it back. Throws TypeError. */
export function defineJob<Parameters = JsonObject>(definition: JobDefinition<Parameters>): JobDefinition<Parameters> {
  const { type, levers, defaultItemsPerSecond, parameters } = definition;
  if (!/^[a-z0-9._-]{1,60}$/.test(type))
    throw new TypeError(`job type ${JSON.stringify(type)}: 1 to 60 of a-z 0-9 . _ -`);
  for (const lever of levers ?? [])
    if (!leverNames.includes(lever))
      throw new TypeError(
        `job type ${type}: there is no lever ${JSON.stringify(lever)}, only ${leverNames.join(", ")}`,
      );
  if (defaultItemsPerSecond !== undefined && !(defaultItemsPerSecond > 0 && Number.isFinite(defaultItemsPerSecond)))
    throw new TypeError(`job type ${type}: a speed is above 0 items per second, not ${defaultItemsPerSecond}`);
  if (parameters && parameters.type !== "object")
    throw new TypeError(`job type ${type}: the schema of the parameters must have type "object"`);
  return definition;
}

/** The job was canceled by somebody. */
export class JobCanceled extends Error {
  override readonly name = "JobCanceled";
  constructor(reason: string) {
    super(reason || "canceled");
  }
}

/** The worker stops on purpose; the job will go on elsewhere. */
export class JobReleased extends Error {
  override readonly name = "JobReleased";
}

/** The attempt belongs to nobody or somebody else. */
export class JobFenced extends Error {
  override readonly name = "JobFenced";
}

/** A job printed more than its worker may hold, and never waited. */
export class LogOverflow extends Error {
  override readonly name = "LogOverflow";
}

import type { JsonObject } from "@bufbuild/protobuf";
import { speedFault } from "@signalbox/protocol";
import type { Fields } from "./fields.ts";
import { policyFault, type DeadlineOptions, type RetryOptions } from "./job-policy.ts";
import { leverNames, type LeverName } from "./levers.ts";

/** What a job function is given. */
export interface Job<Parameters = JsonObject> {
  /** The job; empty while a job that `startHere` began is not known to the server. */
  readonly id: string;
  /** The attempt, from 1; 0 while a job that `startHere` began is not known to the server. */
  readonly attempt: number;
  /** For people. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /**
   * As the job type's schema describes them; the server has checked them. These are in effect: when somebody sets others and the job
   * takes them (see `handle`), they are replaced, so look here each time instead of keeping a copy.
   */
  readonly parameters: Parameters;
  /** What the attempt before saved with `checkpoint`; undefined if nothing. */
  readonly saved: Uint8Array | undefined;
  readonly log: JobLog;
  /**
   * Aborts when the job shall end: it is canceled (the reason is a {@link JobCanceled}), its worker stops ({@link JobReleased}), or it
   * belongs to somebody else now, or may soon ({@link JobFenced}). Throw the reason to end early; a normal return says that the work is complete.
   */
  readonly signal: AbortSignal;
  /** Says how far the job is. What is left out stays as it was. */
  readonly progress: (progress: Progress) => void;
  /**
   * Goes through `items`: waits before each while the job is paused, as the speed asks, or while too many lines wait for the server, and
   * counts the items done. An item is done when the next one is asked for; the one that is left by `break` or an error is not. An array
   * says how many there are in all, unless `progress` has said it. Throws `signal.reason` when the signal aborts. Several loops of a
   * job share one speed; a pause is reported when the first of them stands. With `job.input` it also stands while it waits for a piece.
   */
  readonly paced: <T>(items: Iterable<T> | AsyncIterable<T>) => AsyncGenerator<T, void, undefined>;
  /**
   * Says what the job has found out so far, at most 16 KiB as JSON: shown beside its progress, the newest a few times a second, and kept
   * with the end of the attempt. Throws TypeError unless it is an object, RangeError if it is too long.
   */
  readonly results: (results: JsonObject) => void;
  /**
   * A safe point: waits as `paced` does, but without the speed. `save` is kept for the next attempt (at most 64 KiB, sent at most once
   * a second and at the end). Throws `signal.reason` when the signal aborts, RangeError if `save` is too long.
   */
  readonly checkpoint: (save?: Uint8Array) => Promise<void>;
  /**
   * What people send into the job while it runs, byte for byte, in pieces that begin and end anywhere; ends when they end the input.
   * Taking a piece is what tells the server, so take one when the one before is used: at most 256 KiB wait here. Throws `signal.reason`
   * when the signal aborts, TypeError unless the job type has `input`.
   */
  readonly input: AsyncIterable<Uint8Array>;
  /**
   * Says who puts levers into effect: for a job that steers something else than a loop of its own (a program), and for one whose
   * parameters can change while it runs. Call it once, before the first `await`: no handler is called before. Throws TypeError if the job
   * type does not have the lever, or when it is called again.
   */
  readonly handle: (handlers: JobHandlers<Parameters>) => void;
}

/**
 * What a job does when a lever is moved. A lever is reported as applied when its handler has resolved; until then it is shown as on its
 * way. The handlers of one lever are never called at the same time: what is asked meanwhile waits, newest only. Throwing refuses: the
 * command is rejected with the error's message as the reason, and what was in effect stays so.
 */
export interface JobHandlers<Parameters = JsonObject> {
  /** Puts new parameters into effect; `job.parameters` are the old ones until it resolves. Needs the lever `parameters`. */
  parameters?(next: Parameters): Promise<void> | void;
  /** Makes the job stand. With it no safe point is waited for; `paced` and `checkpoint` hold the job from when it has resolved. */
  pause?(): Promise<void> | void;
  /** Makes the job go on. Needs `pause`. */
  resume?(): Promise<void> | void;
  /**
   * Has the system stop what the job runs, where it stands, at once: 'Stop by the system'. Needs `systemStop` and `go`. A job with `pause`
   * needs it not, for that waits for nothing either. `paced` and `checkpoint` hold the job from when it has resolved.
   */
  stop?(): Promise<void> | void;
  /**
   * Lets go on what `stop` has stopped. Called when the job shall go on, and before it is told to end: what is stopped could not obey.
   */
  go?(): Promise<void> | void;
  /**
   * Somebody cancels the job, which has `graceMs` to end by itself; called again when another cancel leaves it less. It may come while
   * `pause` or `resume` is at work, and neither is called after it. With this handler the SDK does not give the job up when the grace is
   * over, nor when that of a stopping worker is: the job ends when `run` does. `job.signal` aborts too, before the first call, with a
   * {@link JobCanceled} or, when the worker stops, {@link JobReleased}; each has `graceMs`.
   */
  cancel?(graceMs: number, reason: string): void;
}

/** How a program ended that a job ran. Shown with the attempt. */
export interface ProgramEnd {
  readonly exitCode?: number | undefined;
  /** Name of the signal that ended it: 'SIGTERM'. */
  readonly signal?: string | undefined;
}

/** What `run` may return: how a program ended, and what was found out in the end. */
export interface JobEnd extends ProgramEnd {
  /** Takes the place of what `job.results` said last. At most 16 KiB as JSON. */
  readonly results?: JsonObject | undefined;
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
  /**
   * Whether the worker may hold more lines. A job that writes in a tight loop looks here first and awaits `ready` only when there is no
   * room: that costs nothing per write.
   */
  readonly hasRoom: boolean;
  /**
   * Resolves when the worker may hold more lines, and lets the process breathe now and then. Throws `signal.reason` when the job's signal
   * aborts while it waits, unless the job has a handler for `cancel`: that one prints until it has ended.
   */
  readonly ready: () => Promise<void>;
  /** Whether lines of a level are sent at present, so that what is only made to be logged need not be made. */
  readonly isEnabled: (level: LevelName) => boolean;
}

/** The levels of lines, lowest first. */
export type LevelName = "trace" | "debug" | "info" | "warn" | "error" | "fatal";

/** A kind of job that a worker offers. */
export interface JobDefinition<Parameters = JsonObject> {
  /** 1 to 60 of a-z 0-9 . _ - */
  readonly type: string;
  /** One sentence for people. */
  readonly description?: string;
  /** JSON Schema (2020-12) of the parameters: type object, with titles, defaults and bounds. The form to start a job is made from it. */
  readonly parameters?: JsonObject;
  /**
   * What the job obeys besides CANCEL. Default: run, speed and log_level, which is what `job.paced` and `job.log` give. With `parameters`
   * they can be set while the job runs: then it looks at `job.parameters` each time, or has a handler for them.
   */
  readonly levers?: readonly LeverName[];
  /** People can send input into the job while it runs: `job.input`. Default: no. */
  readonly input?: boolean;
  /** Jobs of the type are started by this worker alone, with `worker.startHere`. Default: no. */
  readonly pinned?: boolean;
  /**
   * Two attempts of a job must never run at the same time. When the server was not heard for the length of the worker's lease (15 s), the
   * worker stops what it runs of the type before anybody can start it elsewhere: the signal aborts with a {@link JobFenced}, safe points
   * throw it, and the job queues again. Not for pinned types. Default: no.
   */
  readonly exclusive?: boolean;
  /**
   * The system can stop what jobs of the type run, wherever they stand: operators are offered it beside the pause that waits for a safe
   * point. The job says how with `handle`, by `stop` and `go` or by `pause` and `resume`. Default: no.
   */
  readonly systemStop?: boolean;
  /** How many jobs of the type may run at the same time, on all workers together; an operator's limit replaces it. Default: any number. */
  readonly mostRunning?: number;
  /** How a job is tried again by itself when it has failed, unless it was started with other words. Default: not. */
  readonly retry?: RetryOptions;
  /** How long an attempt may run, unless the job was started with other words. Default: for ever. */
  readonly deadline?: DeadlineOptions;
  /** What items are called, plural. */
  readonly itemNoun?: string;
  /** Speed of a job that nobody has given one, items per second; undefined: unlimited. */
  readonly defaultItemsPerSecond?: number;
  /**
   * Does the work. Returning says that it is complete; throwing that it failed, with the error's message as the reason. A job that runs a
   * program returns its end, or throws {@link ProgramFailed}.
   */
  run(job: Job<Parameters>): Promise<JobEnd | void> | JobEnd | void;
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
  const speedIs = defaultItemsPerSecond !== undefined && speedFault(defaultItemsPerSecond);
  if (speedIs) throw new TypeError(`job type ${type}: a speed of ${defaultItemsPerSecond} ${speedIs}`);
  if (definition.exclusive && definition.pinned)
    throw new TypeError(
      `job type ${type}: what only this worker can start runs nowhere else: it cannot be exclusive, too`,
    );
  const fault = policyFault(definition);
  if (fault) throw new TypeError(`job type ${type}: ${fault}`);
  if (definition.systemStop && !(levers ?? ["run"]).includes("run"))
    throw new TypeError(`job type ${type}: what cannot be paused cannot be stopped by the system: add the lever "run"`);
  if (parameters && parameters.type !== "object")
    throw new TypeError(`job type ${type}: the schema of the parameters must have type "object"`);
  return definition;
}

/** The job was canceled by somebody. */
export class JobCanceled extends Error {
  override readonly name = "JobCanceled";
  /** How long the job may take to end by itself, milliseconds. */
  readonly graceMs: number;
  /** The name of whoever canceled it; empty where that is not known. */
  readonly by: string;
  constructor(reason: string, graceMs: number, by = "") {
    super(reason || "canceled");
    this.graceMs = graceMs;
    this.by = by;
  }
}

/** The worker stops on purpose; the job will go on elsewhere. */
export class JobReleased extends Error {
  override readonly name = "JobReleased";
  /** How long the job may take to end by itself, milliseconds. */
  readonly graceMs: number;
  constructor(reason: string, graceMs: number) {
    super(reason);
    this.graceMs = graceMs;
  }
}

/** The attempt belongs to nobody or somebody else, or may: the worker of an exclusive job has not heard its server for too long. */
export class JobFenced extends Error {
  override readonly name = "JobFenced";
}

/** A job printed more than its worker may hold, and never waited. */
export class LogOverflow extends Error {
  override readonly name = "LogOverflow";
}

/**
 * The program that a job ran has failed. Thrown by `run`: the attempt has failed, with the message as the reason and the program's end
 * beside it; or, if the signal had aborted, it was canceled or released. The log gets no stack, for the program has said what it had to
 * say.
 */
export class ProgramFailed extends Error implements ProgramEnd {
  override readonly name = "ProgramFailed";
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  constructor(message: string, { exitCode, signal }: ProgramEnd) {
    super(message);
    this.exitCode = exitCode;
    this.signal = signal;
  }
}

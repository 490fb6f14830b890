import { randomUUID } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { JobState, StartJobRequestSchema, type AttemptSpec, type StartJobRequest } from "@signalbox/protocol";
import { setting } from "@signalbox/protocol/job-state";
import type { Attempt } from "./attempt.ts";
import { Bell } from "./bell.ts";
import type { Connection } from "./connection.ts";
import type { StartedHere, StartHereOptions } from "./worker.ts";

/** A job that the server knows and has not assigned yet is asked for again this often, milliseconds. */
const askAgainMs = 5000;
const askTimeoutMs = 10_000;
const firstDelayMs = 200;
/** A job that was canceled before it was assigned has this long to end, milliseconds. */
const cancelGraceMs = 5000;

/** Answers that stay the same however often the server is asked. */
const finalRefusals: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Unimplemented,
]);

/** What local starts need from their worker. */
export interface LocalStartsHost {
  readonly workerId: string;
  /** The server has assigned the attempt. */
  bind(attempt: Attempt, spec: AttemptSpec): void;
  /** Nobody here has started the job of this spec. */
  decline(spec: AttemptSpec): void;
  notice(message: string): void;
  /** Something waits no longer. */
  changed(): void;
}

interface LocalStart {
  readonly request: StartJobRequest;
  readonly attempt: Attempt;
  readonly id: PromiseWithResolvers<string>;
  readonly ended: PromiseWithResolvers<void>;
  /** What the server calls the job, once it has said so. */
  jobId: string | undefined;
}

/**
 * The jobs that this process began before the server knew them. Each is asked for by StartJob under a request id of its own, on every
 * link anew until its spec comes: the same request is the same job. The spec may come before the answer that names its job, so specs
 * that fit nothing wait for the answers that are under way.
 */
export class LocalStarts {
  readonly #host: LocalStartsHost;
  /** Those that the server has not assigned yet. */
  readonly #waiting = new Set<LocalStart>();
  /** Those that it has, by the key of the attempt. */
  readonly #bound = new Map<string, LocalStart>();
  readonly #early = new Map<string, AttemptSpec>();
  /** Those that no server will ever know, as long as they run. */
  readonly #alone = new Set<Attempt>();

  constructor(host: LocalStartsHost) {
    this.#host = host;
  }

  /** Attempts that the server has not assigned yet and may still assign. */
  get waiting(): Attempt[] {
    return [...this.#waiting].map(({ attempt }) => attempt);
  }

  /** Attempts that run although no server will ever know them. */
  get alone(): Attempt[] {
    return [...this.#alone];
  }

  /** Begins an attempt. It is asked for on `connection`, if there is one, and on each one after it. */
  begin(type: string, options: StartHereOptions, attempt: Attempt, connection: Connection | undefined): StartedHere {
    const { name = "", labels = {}, parameters, requestId = randomUUID() } = options;
    const start: LocalStart = {
      request: create(StartJobRequestSchema, {
        requestId,
        type,
        name,
        labels: { ...labels },
        ...(parameters ? { parameters } : {}),
        workerId: this.#host.workerId,
      }),
      attempt,
      id: Promise.withResolvers(),
      ended: Promise.withResolvers(),
      jobId: undefined,
    };
    // Whoever is not interested does not have to listen.
    start.id.promise.catch(() => undefined);
    start.ended.promise.catch(() => undefined);
    this.#waiting.add(start);
    attempt.describe({ request: Buffer.from(toBinary(StartJobRequestSchema, start.request)).toString("base64") });
    if (!attempt.hasSettled) attempt.start();
    if (connection) void this.#ask(start, connection);
    return { jobId: start.id.promise, settled: attempt.over, ended: start.ended.promise };
  }

  /** A link is there. Specs of the link before come again. */
  welcomed(connection: Connection): void {
    this.#early.clear();
    for (const start of this.#waiting) void this.#ask(start, connection);
  }

  /** Takes the spec of an attempt that the worker does not know, of a type that it starts itself. */
  claim(spec: AttemptSpec): void {
    const start = [...this.#waiting].find(({ jobId }) => jobId === spec.jobId);
    if (start) this.#bind(start, spec);
    else {
      this.#early.set(spec.jobId, spec);
      this.#declineStrangers();
    }
  }

  /** The server has the last line and the end of an attempt. */
  ended(key: string): void {
    this.#bound.get(key)?.ended.resolve();
    this.#bound.delete(key);
  }

  /** The server will never have the end of an attempt. */
  lost(key: string, reason: string): void {
    this.#bound.get(key)?.ended.reject(new Error(reason));
    this.#bound.delete(key);
  }

  /**
   * The server has another store, which knows nothing of what it was told: what was bound runs on for itself, and what waits is asked for
   * anew. Returns the keys of what was bound.
   */
  otherStore(): string[] {
    const keys = [...this.#bound.keys()];
    for (const [key, { attempt }] of this.#bound) {
      this.#disown(attempt);
      this.lost(key, "the server has another store, which does not know the job");
    }
    for (const start of this.#waiting) start.jobId = undefined;
    return keys;
  }

  /** The worker closes. Returns what is not known to the server. */
  abandon(reason: string): Attempt[] {
    const attempts = [...this.waiting, ...this.#alone];
    for (const start of this.#waiting) this.#reject(start, reason);
    for (const key of [...this.#bound.keys()]) this.lost(key, reason);
    return attempts;
  }

  async #ask(start: LocalStart, { jobs, signal }: Connection): Promise<void> {
    let failures = 0;
    while (this.#waiting.has(start) && !signal.aborted) {
      try {
        const { job } = await jobs.startJob(start.request, { signal, timeoutMs: askTimeoutMs });
        if (!job || !this.#waiting.has(start)) return;
        failures = 0;
        if (job.endedAtUs !== 0n) {
          if (job.state === JobState.CANCELED) {
            const cancel = job.receipts.find(({ generation }) => generation === setting(job, "run")?.generation);
            start.attempt.cancel(cancelGraceMs, job.reason, cancel?.actor?.name ?? "");
          }
          this.#refuse(start, `its job is over already: ${job.reason || "it was not assigned"}`);
          return;
        }
        start.jobId = job.id;
        start.id.resolve(job.id);
        const spec = this.#early.get(job.id);
        if (spec) this.#bind(start, spec);
        this.#declineStrangers();
      } catch (error) {
        if (signal.aborted) return;
        const { code, rawMessage } = ConnectError.from(error);
        if (finalRefusals.has(code)) {
          this.#refuse(start, rawMessage);
          return;
        }
        if (failures++ === 0)
          this.#host.notice(`${this.#nameOf(start)} waits to be known to the server: ${rawMessage}`);
      }
      const ms = failures > 0 ? Math.min(askAgainMs, firstDelayMs * 2 ** failures) : askAgainMs;
      if (this.#waiting.has(start)) await new Bell().wait({ ms, signal });
    }
  }

  #bind(start: LocalStart, spec: AttemptSpec): void {
    this.#early.delete(spec.jobId);
    this.#waiting.delete(start);
    this.#host.bind(start.attempt, spec);
    this.#bound.set(start.attempt.key, start);
    this.#host.changed();
  }

  #refuse(start: LocalStart, reason: string): void {
    this.#host.notice(`${this.#nameOf(start)} is not shown in the room, and its lines are dropped: ${reason}`);
    this.#disown(start.attempt);
    this.#reject(start, reason);
    this.#declineStrangers();
    this.#host.changed();
  }

  #disown(attempt: Attempt): void {
    attempt.disown();
    this.#alone.add(attempt);
    void attempt.over.then(() => {
      this.#alone.delete(attempt);
      this.#host.changed();
    });
  }

  #reject(start: LocalStart, reason: string): void {
    this.#waiting.delete(start);
    start.id.reject(new Error(reason));
    start.ended.reject(new Error(reason));
  }

  /** Specs that wait are nobody's once every job has its id. */
  #declineStrangers(): void {
    if ([...this.#waiting].some(({ jobId }) => jobId === undefined)) return;
    for (const spec of this.#early.values()) this.#host.decline(spec);
    this.#early.clear();
  }

  #nameOf({ request }: LocalStart): string {
    return request.name || request.type;
  }
}

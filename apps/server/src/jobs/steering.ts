import { create } from "@bufbuild/protobuf";
import {
  LeverValueSchema,
  RetrySchema,
  type Actor,
  type Command,
  type JobRecord,
  type JobType,
  type RetryJobRequest,
  type StartJobRequest,
} from "@signalbox/protocol";
import { Refused } from "../refused.ts";
import { checkCommand, plainCommand } from "./check-command.ts";
import { foldRetry } from "./job-fold.ts";
import type { Jobs } from "./jobs.ts";
import { checkRetry } from "./only-worker.ts";
import { checkParameters } from "./parameters.ts";
import { retryBody } from "./request-ids.ts";

/** What is known of workers where jobs are started and commanded. */
export interface KnownWorkers {
  /** The type as the newest worker describes it; undefined if no known worker offers it. */
  jobType(name: string): JobType | undefined;
  /** Whether a job may wait for a worker of that name. */
  isKnown(workerId: string): boolean;
  /** Whether it is connected, or was when the server before this one stopped and has had no time to come back. */
  isThere(workerId: string): boolean;
}

/** What is said besides of a command that is one of many. */
export interface OneOfMany {
  /** The commands to many that it belongs to. */
  readonly bulkId?: string;
  /** Called with the job as the command finds it, unless the request id had its effect before; what it throws is thrown. */
  readonly check?: (before: JobRecord) => void;
}

/**
 * What people and programs may ask of jobs, wherever they ask: by a call, in a console, of many at once. Each is checked here, against the
 * job, its type and its workers, and throws Refused. Repeated request ids of an actor have one effect.
 */
export class Steering {
  readonly #jobs: Jobs;
  readonly #workers: KnownWorkers;

  constructor(jobs: Jobs, workers: KnownWorkers) {
    this.#jobs = jobs;
    this.#workers = workers;
  }

  /** Starts a job. */
  start(request: StartJobRequest, actor: Actor): Promise<JobRecord> {
    const type = this.#workers.jobType(request.type);
    return this.#jobs.start(request, type, actor, (workerId) => this.#workers.isKnown(workerId));
  }

  /** Sets a lever, takes a command back or gives an attempt up. Resolves when that is stored; generation 0: no lever was set. */
  async command(
    jobId: string,
    command: Command | undefined,
    requestId: string,
    actor: Actor,
    { bulkId = "", check }: OneOfMany = {},
  ): Promise<{ record: JobRecord; generation: bigint }> {
    if (!command) throw new Refused("invalid", "The request has no command.");
    checkRequestId(requestId);
    const job = this.#jobs.get(jobId);
    const type = this.#workers.jobType(job.record.type);
    const plain = { ...plainCommand(command, type), bulkId };
    return job.command(plain, actor, requestId, (before) => {
      check?.(before);
      checkCommand(plain, before, type);
    });
  }

  /** Queues another attempt of a job that failed, was canceled or is lost. */
  async retry(
    { jobId, parameters, requestId }: Omit<RetryJobRequest, "$typeName">,
    actor: Actor,
    { check }: OneOfMany = {},
  ): Promise<JobRecord> {
    checkRequestId(requestId);
    const job = this.#jobs.get(jobId);
    const type = this.#workers.jobType(job.record.type);
    const checked = parameters && (type ? checkParameters(type, parameters) : parameters);
    const value =
      checked && create(LeverValueSchema, { value: { case: "parameters", value: { parameters: checked } } });
    const cause = create(RetrySchema, { parametersChanged: value !== undefined });
    return job.once(requestId, actor, retryBody(value), (before, now) => {
      check?.(before);
      checkRetry(before, type, this.#workers);
      return { cause: { case: "retry", value: cause }, record: foldRetry(before, value, now) };
    });
  }
}

function checkRequestId(requestId: string): void {
  if (requestId.length < 1 || requestId.length > 100)
    throw new Refused("invalid", `request_id has ${requestId.length} characters, not 1 to 100.`);
}

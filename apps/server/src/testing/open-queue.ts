import { randomBytes } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  AttemptReportSchema,
  CommandSchema,
  EndOutcome,
  JobTypeSchema,
  SetLimitRequestSchema,
  StartJobRequestSchema,
  type JobRecord,
  type JobType,
  type LeverValueSchema,
  type LimitSchema,
} from "@signalbox/protocol";
import { pino } from "pino";
import { systemClock } from "../clock.ts";
import { Dispatch, type Candidate } from "../jobs/dispatch.ts";
import { foldReport } from "../jobs/fold-report.ts";
import { openAttempt } from "../jobs/job-record.ts";
import { Jobs } from "../jobs/jobs.ts";
import { Limits } from "../jobs/limits.ts";
import { openTempStore } from "../store/testing.ts";
import type { Store } from "../store/store.ts";

export const operator = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator" });
const logger = pino({ level: "silent" });

/** A worker that is only a name, with one slot for jobs of type 'count'. */
export const candidate = (more: Partial<Candidate> = {}): Candidate => ({
  workerId: "w",
  incarnation: "i".repeat(16),
  slots: 1,
  jobTypes: new Set(["count"]),
  labels: {},
  metadata: {},
  clockOffsetUs: 0,
  takesWork: true,
  drained: false,
  ...more,
});

/** A queue over a real store, without a server: workers are names, and `types` what they have said of job types. */
export class TestQueue implements AsyncDisposable {
  readonly jobs: Jobs;
  readonly limits: Limits;
  readonly dispatch: Dispatch;
  readonly #close: () => Promise<void>;

  private constructor(jobs: Jobs, limits: Limits, dispatch: Dispatch, close: () => Promise<void>) {
    this.jobs = jobs;
    this.limits = limits;
    this.dispatch = dispatch;
    this.#close = close;
  }

  /** Opens a queue in a store of its own, which goes away with it, or in `store`, which stays. */
  static async open(workers: () => Iterable<Candidate>, types: readonly JobType[] = [], store?: Store) {
    const temp = store ? undefined : await openTempStore();
    const at = store ?? temp?.store;
    if (!at) throw new Error("no store");
    const jobs = await Jobs.open(at, logger);
    const known = { jobType: (name: string) => types.find((type) => type.name === name), jobTypes: () => types };
    const limits = await Limits.open(at, known, systemClock);
    const dispatch = new Dispatch({ jobs, candidates: workers, limits, logger });
    return new TestQueue(jobs, limits, dispatch, async () => temp?.[Symbol.asyncDispose]());
  }

  /** Jobs that a worker has. */
  running(): JobRecord[] {
    return [...this.jobs.live()].filter((job) => openAttempt(job.record)).map((job) => job.record);
  }

  waitsFor(id: string): string | undefined {
    return this.jobs.vitals.get(id)?.waitsFor;
  }

  /** Starts a job, of type 'count' unless it is said. */
  start(start: MessageInitShape<typeof StartJobRequestSchema> = {}): Promise<JobRecord> {
    const request = create(StartJobRequestSchema, { requestId: newId(), type: "count", ...start });
    return this.jobs.start(request, create(JobTypeSchema, { name: request.type }), operator);
  }

  startMany(count: number, start: MessageInitShape<typeof StartJobRequestSchema> = {}): Promise<JobRecord[]> {
    return Promise.all(Array.from({ length: count }, () => this.start(start)));
  }

  /** Sets a lever. */
  async set(id: string, value: NonNullable<MessageInitShape<typeof LeverValueSchema>["value"]>): Promise<void> {
    const command = create(CommandSchema, { action: { case: "set", value: { value } } });
    await this.jobs.get(id).command(command, operator, newId());
  }

  /** The job's worker says that it has succeeded. */
  async end(id: string): Promise<void> {
    await this.jobs.get(id).update((before, now) => {
      const attempt = openAttempt(before)?.number ?? 0;
      const said = create(AttemptReportSchema, { attempt, started: true, end: { outcome: EndOutcome.SUCCEEDED } });
      const record = foldReport(before, said, now);
      return record && { actor: operator, cause: { case: "report", value: said }, record };
    });
  }

  async setLimit(limit: MessageInitShape<typeof LimitSchema>, lift = false): Promise<void> {
    await this.limits.set(create(SetLimitRequestSchema, { limit, lift }), operator);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispatch.stop();
    await this.#close();
  }
}

function newId(): string {
  return randomBytes(8).toString("hex");
}

import { create } from "@bufbuild/protobuf";
import { WorkerGoneSchema } from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import { serverActor } from "../jobs/dispatch.ts";
import type { Job } from "../jobs/job.ts";
import { foldWorkerGone } from "../jobs/job-fold.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Logger } from "../logger.ts";
import type { Background } from "./background.ts";
import type { LeaseClock } from "./lease-clock.ts";
import type { Sessions } from "./sessions.ts";
import type { WorkerBoard } from "./worker-board.ts";
import type { WorkerNames } from "./worker-names.ts";

interface Parts {
  readonly jobs: Jobs;
  readonly names: WorkerNames;
  readonly sessions: Sessions;
  readonly leases: LeaseClock;
  readonly board: WorkerBoard;
  readonly background: Background;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Names of workers that are forgotten, and what becomes of the jobs that wait for them: they fail, since nobody will ever run them. */
export class Forgetting {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Forgets a transient name whose process has left, or is lost and has no attempt any more. */
  forgetIfGone(workerId: string): void {
    const { names, sessions, jobs, leases } = this.#parts;
    const lease = names.get(workerId);
    if (!lease?.hello?.transient || sessions.get(workerId) || jobs.attemptsOf(workerId).length > 0) return;
    if (!leases.watches(lease.incarnation)) this.#forget(workerId);
  }

  /** Forgets the name that connected longest ago and that nobody needs, if there are more than can be kept. */
  forgetOldest(): void {
    const oldest = this.#parts.names.oldest((workerId) => this.#isInUse(workerId));
    if (oldest !== undefined) this.#forget(oldest);
  }

  /** Ends a job that waits for a worker whose name is forgotten. */
  endIfOrphan(job: Job): void {
    const { names, background, clock, logger } = this.#parts;
    const { workerId } = job.record;
    if (workerId === "" || names.get(workerId) || !foldWorkerGone(job.record, clock())) return;
    const end = job.update((before, now) => {
      const record = foldWorkerGone(before, now);
      const cause = create(WorkerGoneSchema, { workerId });
      return record && { actor: serverActor, cause: { case: "workerGone", value: cause }, record };
    });
    background.track(end, (error) =>
      logger.error({ err: error, job: job.id }, "a job without its worker could not be ended; the next start does it"),
    );
  }

  #forget(workerId: string): void {
    const { names, board, background, jobs, logger } = this.#parts;
    board.forget(workerId);
    background.track(names.forget(workerId), (error) =>
      logger.error({ err: error, worker: workerId }, "a worker's name could not be forgotten; the next start knows it"),
    );
    for (const job of jobs.live()) if (job.record.workerId === workerId) this.endIfOrphan(job);
  }

  #isInUse(workerId: string): boolean {
    const { sessions, jobs } = this.#parts;
    if (sessions.get(workerId) || jobs.attemptsOf(workerId).length > 0) return true;
    for (const job of jobs.live()) if (job.record.workerId === workerId) return true;
    return false;
  }
}

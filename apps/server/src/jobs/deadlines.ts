import { create } from "@bufbuild/protobuf";
import { ReceiptState, TimerKind, TimerSchema } from "@signalbox/protocol";
import type { Logger } from "../logger.ts";
import { serverActor } from "./dispatch.ts";
import type { Job } from "./job.ts";
import type { Jobs } from "./jobs.ts";
import { foldDeliverBy, foldHoldEnded } from "./fold-command.ts";
import { openAttempt } from "./job-record.ts";
import type { Lever } from "./levers.ts";

/** A worker that is connected ends its held values itself; it is given this much longer before the server does it for it. */
const workerGraceUs = 5_000_000n;

/**
 * Carries out what a clock decides on jobs: commands that were not delivered in time, and held values that ran out with no worker to
 * say so. Call {@link look} regularly; a look is cheap.
 */
export class Deadlines {
  readonly #jobs: Jobs;
  readonly #logger: Logger;

  constructor(jobs: Jobs, logger: Logger) {
    this.#jobs = jobs;
    this.#logger = logger;
  }

  /** Folds what is due at `now`, server clock in microseconds. */
  async look(now: number): Promise<void> {
    const due: Promise<unknown>[] = [];
    for (const job of this.#jobs.live()) {
      for (const receipt of job.record.receipts) {
        if (
          receipt.state === ReceiptState.ACCEPTED &&
          receipt.deliverByUs !== 0n &&
          receipt.deliverByUs <= BigInt(now)
        ) {
          due.push(this.#expire(job, receipt.generation));
        }
      }
      for (const { value, hold } of job.record.spec?.levers ?? []) {
        if (!hold || hold.endsAtUs === 0n || !value?.value.case) continue;
        const grace = openAttempt(job.record)?.lostAtUs === 0n ? workerGraceUs : 0n;
        if (hold.endsAtUs + grace <= BigInt(now)) due.push(this.#endHold(job, value.value.case));
      }
    }
    await Promise.all(due);
  }

  async #expire(job: Job, generation: bigint): Promise<void> {
    await this.#update(job, TimerKind.DELIVER_BY, generation, (record, now) => foldDeliverBy(record, generation, now));
  }

  async #endHold(job: Job, lever: Lever): Promise<void> {
    await this.#update(job, TimerKind.HOLD_ENDED, 0n, (record, now) => foldHoldEnded(record, lever, now));
  }

  async #update(
    job: Job,
    kind: TimerKind,
    generation: bigint,
    fold: (record: Job["record"], now: number) => Job["record"] | undefined,
  ): Promise<void> {
    try {
      await job.update((before, now) => {
        const record = fold(before, now);
        return (
          record && {
            actor: serverActor,
            cause: { case: "timer", value: create(TimerSchema, { kind, generation }) },
            record,
          }
        );
      });
    } catch (error) {
      this.#logger.error({ err: error, job: job.id }, "a deadline could not be stored; it is tried again");
    }
  }
}

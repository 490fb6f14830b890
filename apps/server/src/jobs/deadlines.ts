import { create } from "@bufbuild/protobuf";
import { ReceiptState, TimerKind, TimerSchema, type JobRecord } from "@signalbox/protocol";
import { isInDoubt } from "@signalbox/protocol/job-state";
import type { Logger } from "../logger.ts";
import { serverActor } from "./dispatch.ts";
import type { Job } from "./job.ts";
import type { Jobs } from "./jobs.ts";
import { isOverdue } from "./attempt-clock.ts";
import { foldDeadline, foldGiveUpLost, foldRetryDue, isGivenUp } from "./fold-again.ts";
import { foldDeliverBy, foldHoldEnded } from "./fold-command.ts";
import { openAttempt } from "./job-record.ts";
import type { Lever } from "./levers.ts";

/** A worker that is connected ends its held values itself; it is given this much longer before the server does it for it. */
const workerGraceUs = 5_000_000n;

/**
 * Carries out what a clock decides on jobs: commands that were not delivered in time, held values that ran out with no worker to say so,
 * back-offs that are over, attempts that take too long, and lost ones that a job's policy gives up. Call {@link look} regularly; a look
 * is cheap.
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
      const { record } = job;
      for (const receipt of record.receipts) {
        if (
          receipt.state === ReceiptState.ACCEPTED &&
          receipt.deliverByUs !== 0n &&
          receipt.deliverByUs <= BigInt(now) &&
          !isInDoubt(receipt)
        ) {
          due.push(this.#expire(job, receipt.generation));
        }
      }
      const attempt = openAttempt(record);
      for (const { value, hold } of record.spec?.levers ?? []) {
        if (!hold || hold.endsAtUs === 0n || !value?.value.case) continue;
        const grace = attempt?.lostAtUs === 0n ? workerGraceUs : 0n;
        if (hold.endsAtUs + grace <= BigInt(now)) due.push(this.#endHold(job, value.value.case));
      }
      if (record.retryAtUs !== 0n && record.retryAtUs <= BigInt(now))
        due.push(this.#update(job, TimerKind.RETRY, plain(foldRetryDue)));
      if (attempt && isOverdue(record, attempt, now))
        due.push(this.#update(job, TimerKind.DEADLINE, (before, at) => foldDeadline(before, serverActor, at)));
      if (isGivenUp(record, now)) due.push(this.#update(job, TimerKind.GIVE_UP, plain(foldGiveUpLost)));
    }
    await Promise.all(due);
  }

  async #expire(job: Job, generation: bigint): Promise<void> {
    await this.#update(job, TimerKind.DELIVER_BY, (before, now) => {
      const record = foldDeliverBy(before, generation, now, job.mayHave);
      return record && { record, generation, takesBack: true };
    });
  }

  async #endHold(job: Job, lever: Lever): Promise<void> {
    const fold = (before: JobRecord, now: number) => foldHoldEnded(before, lever, now);
    await this.#update(job, TimerKind.HOLD_ENDED, plain(fold));
  }

  async #update(job: Job, kind: TimerKind, fold: TimerFold): Promise<void> {
    try {
      await job.update((before, now) => {
        const after = fold(before, now);
        if (!after) return undefined;
        const { record, generation, takesBack = false } = after;
        const timer = create(TimerSchema, { kind, generation });
        return { actor: serverActor, cause: { case: "timer", value: timer }, record, takesBack };
      });
    } catch (error) {
      this.#logger.error({ err: error, job: job.id }, "a deadline could not be stored; it is tried again");
    }
  }
}

/** What a timer makes of a job, the generation that it concerns, and whether that is taken back; undefined if nothing. */
type TimerFold = (
  before: JobRecord,
  now: number,
) => { record: JobRecord; generation: bigint; takesBack?: boolean } | undefined;

/** A timer that concerns no generation. */
function plain(fold: (before: JobRecord, now: number) => JobRecord | undefined): TimerFold {
  return (before, now) => {
    const record = fold(before, now);
    return record && { record, generation: 0n };
  };
}

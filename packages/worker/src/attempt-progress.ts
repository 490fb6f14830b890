import { create } from "@bufbuild/protobuf";
import { AttemptVitalsSchema, type AttemptVitals } from "@signalbox/protocol";
import type { Clock } from "./clock.ts";
import type { Progress } from "./job.ts";
import { RateMeter } from "./rate-meter.ts";

const longestPhase = 200;

/** How far an attempt is: what its job says, what `paced` counts, and the rate that follows from it. */
export class AttemptProgress {
  /** Why the job stands although it should run; empty if it does not. */
  stalledBy = "";
  readonly #meter = new RateMeter();
  #itemsDone = 0;
  #itemsTotal: number | undefined;
  #totalWasSaid = false;
  #bytesDone = 0;
  #bytesTotal: number | undefined;
  #phase = "";

  /** Takes what the job says of itself. Numbers that count nothing are ignored. */
  say(progress: Progress): void {
    const { done, bytesDone, phase } = progress;
    if (done !== undefined) this.#itemsDone = wholeNumber(done) ?? this.#itemsDone;
    if ("total" in progress) {
      this.#itemsTotal = wholeNumber(progress.total);
      this.#totalWasSaid = true;
    }
    if (bytesDone !== undefined) this.#bytesDone = wholeNumber(bytesDone) ?? this.#bytesDone;
    if ("bytesTotal" in progress) this.#bytesTotal = wholeNumber(progress.bytesTotal);
    if (phase !== undefined) this.#phase = [...phase].slice(0, longestPhase).join("").toWellFormed();
  }

  /** So many more items are to come; the job's own word on the total counts more. */
  expect(items: number): void {
    if (!this.#totalWasSaid) this.#itemsTotal = this.#itemsDone + items;
  }

  countItem(): void {
    this.#itemsDone++;
  }

  /** The rate is measured anew: the job goes on after it stood. */
  restartRate(): void {
    this.#meter.restart();
  }

  /** To be called a few times a second: the rate is measured from call to call, and is 0 while the job stands or has ended. */
  vitals(
    of: { jobId: string; attempt: number },
    clock: Clock,
    job: { stands: boolean; ended: boolean },
  ): AttemptVitals {
    if (job.stands) this.#meter.restart();
    const rate = this.#meter.sample(clock.monotonicMs(), this.#itemsDone);
    return create(AttemptVitalsSchema, {
      ...of,
      itemsDone: BigInt(this.#itemsDone),
      ...(this.#itemsTotal === undefined ? {} : { itemsTotal: BigInt(this.#itemsTotal) }),
      bytesDone: BigInt(this.#bytesDone),
      ...(this.#bytesTotal === undefined ? {} : { bytesTotal: BigInt(this.#bytesTotal) }),
      itemsPerSecond: job.stands || job.ended ? 0 : rate,
      phase: this.#phase,
      atUs: BigInt(clock.wallUs()),
      stalledBy: this.stalledBy,
    });
  }
}

function wholeNumber(value: number | undefined): number | undefined {
  return value !== undefined && Number.isFinite(value) && value >= 0 ? Math.floor(value) : undefined;
}

import { create } from "@bufbuild/protobuf";
import { ProofSchema, ReceiptState } from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import type { Logger } from "../logger.ts";
import { StoreClosed } from "../store/store.ts";
import { serverActor } from "./dispatch.ts";
import { foldProof, provable, provedCancel } from "./fold-proof.ts";
import type { Job } from "./job.ts";
import type { Jobs } from "./jobs.ts";
import { measureOf, type Measure } from "./measures.ts";

/** An effect that does not show for so long after the worker's word is not waited for any more. */
const waitUs = 60_000_000n;

/** A command whose effect is looked for. */
interface Wait {
  readonly generation: bigint;
  readonly decidedAtUs: bigint;
  readonly measure: Measure;
  /** Its proof is being stored. */
  storing: boolean;
}

/**
 * Proves commands: when a worker has said that one is in effect, what the room measures after that shows it, and the proof goes into the
 * job's history. Vitals of jobs that nobody has commanded lately are not looked at.
 */
export class Proofs {
  readonly #jobs: Jobs;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #waiting = new Map<string, { waits: Wait[]; stop: () => void }>();
  readonly #storing = new Set<Promise<void>>();

  constructor(jobs: Jobs, clock: Clock, logger: Logger) {
    this.#jobs = jobs;
    this.#clock = clock;
    this.#logger = logger;
    // What was applied just before the server stopped.
    const now = BigInt(clock());
    for (const job of jobs.all())
      if (job.record.receipts.some(({ state, decidedAtUs }) => isApplied(state) && decidedAtUs + waitUs > now))
        this.#look(job);
    jobs.onEntry((job) => this.#look(job));
  }

  /** How many jobs have a command whose effect is looked for. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Gives up what has been looked for long enough. Call it regularly. `now` is server clock, microseconds. */
  expire(now: number): void {
    for (const [id, { waits }] of this.#waiting)
      this.#keep(
        id,
        waits.filter(({ decidedAtUs }) => decidedAtUs + waitUs > BigInt(now)),
      );
  }

  /** Resolves when no proof is being stored. */
  async settle(): Promise<void> {
    await Promise.all(this.#storing);
  }

  /** Begins to look for what the newest entry has applied, and ends it for what that has replaced. */
  #look(job: Job): void {
    const { record } = job;
    const known = this.#waiting.get(job.id)?.waits;
    if (!known && !record.receipts.some(({ state }) => isApplied(state))) return;
    const oldest = BigInt(this.#clock()) - waitUs;
    const waits = provable(record).flatMap((receipt): Wait[] => {
      const { generation, decidedAtUs } = receipt;
      const wait = known?.find((each) => each.generation === generation);
      if (wait) return [wait];
      const measure = decidedAtUs > oldest ? measureOf(receipt) : undefined;
      return measure ? [{ generation, decidedAtUs, measure, storing: false }] : [];
    });
    this.#keep(job.id, waits);
    const canceled = provedCancel(record);
    if (canceled) this.#store(job, canceled.generation, canceled.measure);
  }

  #keep(jobId: string, waits: Wait[]): void {
    const known = this.#waiting.get(jobId);
    if (waits.length === 0) {
      known?.stop();
      this.#waiting.delete(jobId);
    } else if (known) known.waits = waits;
    else this.#waiting.set(jobId, { waits, stop: this.#jobs.vitals.watch(jobId, () => this.#measured(jobId)) });
  }

  /** The vitals of a job with waits have changed. */
  #measured(jobId: string): void {
    const job = this.#jobs.find(jobId);
    const vitals = this.#jobs.vitals.peek(jobId);
    const waits = this.#waiting.get(jobId)?.waits;
    if (!job || !vitals || !waits || vitals.attempt !== job.record.attempts.at(-1)?.number) return;
    const left = waits.filter((wait) => {
      if (wait.storing) return true;
      const found = wait.measure(vitals, job.record.state, this.#clock());
      if (found === "never") return false;
      if (found) this.#store(job, wait.generation, found.proof, wait);
      return true;
    });
    if (left.length < waits.length) this.#keep(jobId, left);
  }

  #store(job: Job, generation: bigint, measure: string, wait?: Wait): void {
    if (wait) wait.storing = true;
    const storing = job
      .update((before, now) => {
        const record = foldProof(before, generation, measure, now);
        const cause = create(ProofSchema, { generation, measure });
        return record && { actor: serverActor, cause: { case: "proof", value: cause }, record };
      })
      .then(
        () => undefined,
        (error: unknown) => {
          if (wait) wait.storing = false;
          if (!(error instanceof StoreClosed))
            this.#logger.error({ err: error, job: job.id }, "the proof of a command could not be stored");
        },
      )
      .finally(() => this.#storing.delete(storing));
    this.#storing.add(storing);
  }
}

function isApplied(state: ReceiptState): boolean {
  return state === ReceiptState.APPLIED;
}

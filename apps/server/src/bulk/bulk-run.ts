import { create } from "@bufbuild/protobuf";
import {
  BulkOutcome,
  BulkResultSchema,
  BulkState,
  type Actor,
  type BulkRecord,
  type BulkResult,
} from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Steering } from "../jobs/steering.ts";
import type { Logger } from "../logger.ts";
import { pause } from "../pause.ts";
import { Refused } from "../refused.ts";
import { NotStored, StoreClosed, UnknownOutcome } from "../store/store.ts";
import { Wake } from "../wake.ts";
import type { Bulk } from "./bulk.ts";
import { entryOfBegin, entryOfResults, entryOfUndo, isOver, stateWords } from "./bulk-fold.ts";
import { commandOf, judgeOf, refusedWith, type Verdict } from "./judge.ts";

/** So many jobs get their commands at the same time; together they are few commits. */
const mostUnderWay = 16;
/** So many results wait to be stored. After a crash as many commands are given again, which has no effect. */
const mostUnstored = 500;
/** Results are stored so often, milliseconds: what people see of the way. */
const storeEveryMs = 200;
/** The server's clock is looked at so often while it is held, milliseconds. */
const lookEveryMs = 250;
/** By so much commands may catch up where timers were late, milliseconds: what was missed beyond that is not made up for. */
const mostLateMs = 20;
/** What could not be stored is tried again after this, milliseconds. */
const againAfterMs = 1_000;

/** What a run stands on. */
export interface RunParts {
  readonly jobs: Jobs;
  readonly steering: Steering;
  readonly workers: Parameters<typeof judgeOf>[1];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A job does not need its command any more, or cannot take it. */
class NotGiven extends Error {
  override readonly name = "NotGiven";
  readonly verdict: Verdict;

  constructor(verdict: Verdict) {
    super(verdict.reason);
    this.verdict = verdict;
  }
}

/**
 * Holds commands to many for their time, then gives each job its command, at most so many a second, and stores what became of them, in
 * their order. Goes on from what is stored: a command that its job had before a crash is known to the job by its request id.
 */
export class BulkRun {
  readonly bulk: Bulk;
  readonly #parts: RunParts;
  readonly #judge: ReturnType<typeof judgeOf>;
  /** Some of the commands may have been given before, by a process that could not say so any more. */
  readonly #resumed: boolean;
  /** No more commands are given. */
  readonly #halt = new AbortController();
  /** The hold is over, or it was undone. */
  readonly #changed = new AbortController();
  /** The process ends. */
  readonly #suspended = new AbortController();
  readonly #ended: Promise<void>;
  #stoppedBy: Actor | undefined;

  /** Begins at once. `resumed`: it was begun by another process. */
  constructor(bulk: Bulk, parts: RunParts, resumed: boolean) {
    this.bulk = bulk;
    this.#parts = parts;
    this.#resumed = resumed;
    this.#judge = judgeOf(commandedBy(bulk.record), parts.workers, parts.clock);
    this.#ended = this.#run().catch((error: unknown) => {
      if (error instanceof StoreClosed || this.#suspended.signal.aborted) return;
      parts.logger.error({ err: error, bulk: bulk.id }, "commands to many broke off; the next start goes on with them");
    });
  }

  /** Resolves when nothing of it is under way any more. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Does not hold it any longer. Throws Refused unless it is held. */
  async release(actor: Actor): Promise<BulkRecord> {
    const record = await this.bulk.update((history, now) => entryOfBegin(history, actor, now));
    this.#changed.abort();
    return record;
  }

  /** Takes it back. Throws Refused if it is not held any more. */
  async undo(actor: Actor): Promise<BulkRecord> {
    const record = await this.bulk.update((history, now) => entryOfUndo(history, actor, now));
    this.#changed.abort();
    return record;
  }

  /** Gives no more commands. Resolves when what was under way is over and stored. Throws Refused if it has ended. */
  async stop(actor: Actor): Promise<BulkRecord> {
    if (this.bulk.record.state === BulkState.HELD) {
      try {
        return await this.undo(actor);
      } catch (error) {
        // The hold has ended at that moment: it is stopped half-way like any other.
        if (!(error instanceof Refused) || isOver(this.bulk.record)) throw error;
      }
    }
    if (!isOver(this.bulk.record)) {
      this.#stoppedBy ??= actor;
      this.#halt.abort();
      await this.#ended;
      if (this.bulk.record.state === BulkState.STOPPED) return this.bulk.record;
    }
    const { record } = this.bulk;
    if (isOver(record)) throw new Refused("wrong-state", `There is nothing to stop: it ${stateWords[record.state]}.`);
    throw new Refused(
      "unavailable",
      "It is not stopped, since the server is stopping. Stop it again at the next start.",
    );
  }

  /** Ends with the process: gives no more commands, stores what became of those under way, and leaves the rest to the next start. */
  async suspend(): Promise<void> {
    this.#suspended.abort();
    this.#halt.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    await this.#hold();
    if (this.bulk.record.state !== BulkState.RUNNING) return;
    const queue: Promise<BulkResult>[] = [];
    const wake = new Wake();
    const giving = this.#give(queue, wake);
    try {
      await this.#store(queue, wake, giving);
    } finally {
      this.#halt.abort();
      await giving;
      await Promise.allSettled(queue);
    }
  }

  async #hold(): Promise<void> {
    const signal = AbortSignal.any([this.#halt.signal, this.#changed.signal]);
    for (;;) {
      const { state, heldUntilUs } = this.bulk.record;
      if (state !== BulkState.HELD || this.#halt.signal.aborted) return;
      const leftMs = (Number(heldUntilUs) - this.#parts.clock()) / 1000;
      if (leftMs > 0) await pause(Math.min(leftMs, lookEveryMs), signal);
      else
        await this.#untilStored(() =>
          this.bulk.update((history, now) =>
            // Somebody may have released it or taken it back just now.
            history.record.state === BulkState.HELD ? entryOfBegin(history, undefined, now) : undefined,
          ),
        );
    }
  }

  /** Gives the commands in their order and puts what becomes of each into the queue, in the same order. */
  async #give(queue: Promise<BulkResult>[], wake: Wake): Promise<void> {
    const { signal } = this.#halt;
    const { jobIds, results, record } = this.bulk.history;
    const everyMs = 1000 / record.perSecond;
    const free = new Wake();
    let underWay = 0;
    let dueMs = performance.now();
    for (const jobId of jobIds.slice(results.length)) {
      while (!signal.aborted && (underWay >= mostUnderWay || queue.length >= mostUnstored))
        await (underWay >= mostUnderWay ? free.wait(signal) : pause(storeEveryMs / 4, signal));
      if (signal.aborted) break;
      const spared = this.#resumed ? undefined : this.#spared(jobId);
      if (!spared) {
        while (!signal.aborted && performance.now() < dueMs) await pause(Math.ceil(dueMs - performance.now()), signal);
        if (signal.aborted) break;
        dueMs = Math.max(dueMs, performance.now() - mostLateMs) + everyMs;
      }
      underWay++;
      const result = (spared ? Promise.resolve(spared) : this.#command(jobId)).finally(() => {
        underWay--;
        free.notify();
      });
      result.catch(() => undefined); // Who takes it from the queue hears it.
      queue.push(result);
      wake.notify();
    }
    wake.notify();
  }

  /** Stores what became of jobs, until nothing more comes. */
  async #store(queue: Promise<BulkResult>[], wake: Wake, giving: Promise<void>): Promise<void> {
    const never = new AbortController().signal;
    let given = false;
    const done = () => {
      given = true;
      wake.notify();
    };
    void giving.finally(done).catch(() => undefined); // Who waits for the giving hears it.
    for (;;) {
      while (queue.length === 0 && !given) await wake.wait(never);
      const batch: BulkResult[] = [];
      const untilMs = performance.now() + storeEveryMs;
      // What comes while others are waited for belongs to the same batch.
      while (performance.now() < untilMs) {
        const next = await queue[0];
        if (!next) break;
        batch.push(next);
        void queue.shift();
      }
      const ends = given && queue.length === 0;
      const stoppedBy = ends ? this.#stoppedBy : undefined;
      const known = this.bulk.history.results.length;
      if (batch.length > 0 || stoppedBy)
        await this.#untilStored(() =>
          this.bulk.update((history, now) => {
            // It landed the time before, although that was not confirmed.
            if (history.results.length > known || isOver(history.record)) return undefined;
            return entryOfResults(history, batch, stoppedBy, now);
          }),
        );
      if (ends) return;
      await pause(storeEveryMs, this.#halt.signal);
    }
  }

  /** The result of a job that needs no command as it stands now. */
  #spared(jobId: string): BulkResult | undefined {
    const job = this.#parts.jobs.find(jobId);
    const verdict = job ? this.#judge(job.record) : noSuchJob;
    return verdict.outcome === BulkOutcome.SKIPPED ? resultOf(jobId, verdict) : undefined;
  }

  async #command(jobId: string): Promise<BulkResult> {
    const { jobs, steering, logger } = this.#parts;
    const job = jobs.find(jobId);
    if (!job) return resultOf(jobId, noSuchJob);
    const { id, actor } = this.bulk.record;
    const command = commandedBy(this.bulk.record);
    if (!actor) throw new Error("commands to many are somebody's");
    const requestId = `${id}/${jobId}`;
    const check = (before: typeof job.record) => {
      const verdict = this.#judge(before);
      if (verdict.outcome !== BulkOutcome.ACCEPTED) throw new NotGiven(verdict);
    };
    const give = async (): Promise<bigint> => {
      if (command.action.case === "retry") {
        await steering.retry({ jobId, requestId }, actor, { check });
        return 0n;
      }
      const { generation } = await steering.command(jobId, commandOf(command), requestId, actor, { bulkId: id, check });
      return generation;
    };
    try {
      const generation = await this.#untilStored(give);
      return create(BulkResultSchema, { jobId, outcome: BulkOutcome.ACCEPTED, generation });
    } catch (error) {
      if (error instanceof NotGiven) return resultOf(jobId, error.verdict);
      if (error instanceof StoreClosed || error instanceof NotStored || error instanceof UnknownOutcome) throw error;
      if (error instanceof Refused) {
        // The judge knows better words for what stands in the way, if it knows of it.
        const verdict = this.#judge(job.record);
        return resultOf(jobId, verdict.outcome === BulkOutcome.ACCEPTED ? refusedWith(error) : verdict);
      }
      logger.error({ err: error, bulk: id, job: jobId }, "a command of many failed unexpectedly");
      return resultOf(jobId, { outcome: BulkOutcome.REFUSED, reason: "a fault of the server; its log says more" });
    }
  }

  /** Does again what could not be stored, until it is; gives up with the same error when the process ends. */
  async #untilStored<T>(act: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof NotStored || error instanceof UnknownOutcome) || this.#suspended.signal.aborted)
          throw error;
        await pause(againAfterMs, this.#suspended.signal);
      }
    }
  }
}

const noSuchJob: Verdict = { outcome: BulkOutcome.SKIPPED, reason: "there is no such job" };

function resultOf(jobId: string, { outcome, reason }: Verdict): BulkResult {
  return create(BulkResultSchema, { jobId, outcome, reason });
}

function commandedBy({ command }: BulkRecord) {
  if (!command) throw new Error("commands to many have a command");
  return command;
}

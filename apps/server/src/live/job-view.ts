import type { JobRecord } from "@signalbox/protocol";
import { jobTopic, readRecord, type Job } from "../jobs/job.ts";
import { hasEnded } from "../jobs/job-record.ts";
import type { Journal } from "../store/store.ts";

const runLimit = { maxBytes: 256 * 1024 };

/**
 * A job as one reader has seen it: the record when it began to look, then each later one, in order and none left out, read from the job's
 * topic at the reader's own pace. What else the reader follows goes by what it has seen, so that all parts agree about when the job ends.
 */
export class JobView {
  readonly #journal: Journal;
  readonly #listeners = new Set<() => void>();
  #record: JobRecord;

  constructor(journal: Journal, job: Job) {
    this.#journal = journal;
    this.#record = job.record;
  }

  /** The newest record that was seen. */
  get record(): JobRecord {
    return this.#record;
  }

  /** Calls `listener` when another record is seen. Returns what removes it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The records after the one that is seen; ends with the first that has ended, or when `signal` aborts. */
  async *records(signal: AbortSignal): AsyncGenerator<JobRecord> {
    if (hasEnded(this.#record)) return;
    const topic = jobTopic(this.#record.id);
    const from = Number(this.#record.entryPosition);
    for await (const run of this.#journal.tail(topic, from, signal, runLimit))
      for (const entry of run) {
        this.#record = readRecord(entry);
        for (const listener of [...this.#listeners]) listener();
        yield this.#record;
        if (hasEnded(this.#record)) return;
      }
  }

  /**
   * The number of the attempt after `number`, once it is seen; undefined if the job ends without one or `signal` aborts before.
   */
  attemptAfter(number: number, signal: AbortSignal): Promise<number | undefined> {
    return new Promise((resolve) => {
      const look = () => {
        const next = this.#record.attempts.find((attempt) => attempt.number > number)?.number;
        if (next === undefined && !hasEnded(this.#record) && !signal.aborted) return false;
        remove();
        signal.removeEventListener("abort", look);
        resolve(next);
        return true;
      };
      const remove = this.onChange(look);
      if (!look()) signal.addEventListener("abort", look, { once: true });
    });
  }
}

import type { ChunkHeader } from "@signalbox/protocol";
import { Histogram, type Counted } from "./histogram.ts";
import { readHeader } from "./log-entry.ts";
import { maxReadBytes, type StoredLogs } from "./stored-logs.ts";

/** Of so many attempts the counts are kept; those that were neither written nor looked at for the longest time go first. */
const mostKept = 128;
/** An answer waits for so long until all lines are counted; then it says how far it has come. */
const patienceMs = 500;

/** What is counted of an attempt, and up to which line. */
export interface CountedAttempt extends Counted {
  /** The number after the newest line that is counted. */
  readonly endLine: number;
}

/** What is read of the stored logs. */
export type CountedLogs = Pick<StoredLogs, "end" | "find" | "read">;

interface Kept {
  readonly histogram: Histogram;
  /** A slice of the log that is being read. Who comes meanwhile waits for the same one. */
  reading: Promise<void> | undefined;
}

/**
 * Histograms of attempts. Of what is being written each chunk is counted as it is stored; what was stored before is read when somebody
 * looks at it: once, in slices of 1 MiB, and only while somebody waits for it.
 */
export class Histograms {
  readonly #logs: CountedLogs;
  readonly #kept = new Map<string, Kept>();

  constructor(logs: CountedLogs) {
    this.#logs = logs;
  }

  /** Takes in what was stored of an attempt up to `nextLine`, in order: a chunk, or without `header` a gap. */
  stored(jobId: string, attempt: number, firstLine: number, nextLine: number, header: ChunkHeader | undefined): void {
    const key = `${jobId}/${attempt}`;
    // What began before this server did is read when somebody looks.
    const kept = this.#kept.get(key) ?? (firstLine === 1 ? this.#keep(key) : undefined);
    if (kept?.histogram.nextLine === firstLine) take(kept.histogram, nextLine, header);
  }

  /** Counts in at most `most` buckets. May end before the log does: what is not counted yet is when it is asked again. */
  async read(jobId: string, attempt: number, most: number, signal: AbortSignal): Promise<CountedAttempt> {
    const key = `${jobId}/${attempt}`;
    const kept = this.#kept.get(key) ?? this.#keep(key);
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    const { histogram } = kept;
    const { nextLine } = await this.#logs.end(jobId, attempt);
    const until = performance.now() + patienceMs;
    for (let before = 0; histogram.nextLine < nextLine && histogram.nextLine > before && performance.now() < until;) {
      if (signal.aborted) break;
      before = histogram.nextLine;
      kept.reading ??= this.#slice(histogram, jobId, attempt).finally(() => (kept.reading = undefined));
      await kept.reading;
    }
    return { ...histogram.read(most), endLine: histogram.nextLine };
  }

  #keep(key: string): Kept {
    const kept: Kept = { histogram: new Histogram(), reading: undefined };
    this.#kept.set(key, kept);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > mostKept && oldest !== undefined) this.#kept.delete(oldest);
    return kept;
  }

  async #slice(histogram: Histogram, jobId: string, attempt: number): Promise<void> {
    const from = await this.#logs.find(jobId, attempt, histogram.nextLine);
    for (const { data, mark } of await this.#logs.read(jobId, attempt, from, maxReadBytes))
      take(histogram, mark, readHeader(data));
  }
}

function take(histogram: Histogram, nextLine: number, header: ChunkHeader | undefined): void {
  if (header) histogram.add(header);
  histogram.skip(nextLine);
}

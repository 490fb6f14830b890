import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { LogEntrySchema, SealSchema, type LogMark } from "@signalbox/protocol";
import { systemClock, type Clock } from "../clock.ts";
import type { Journal } from "../store/store.ts";
import { AttemptLog } from "./attempt-log.ts";
import { Histograms } from "./histograms.ts";
import { LateLogs } from "./late-logs.ts";
import { emptyMark, logTopic, readMark } from "./log-entry.ts";
import { StoredLogs } from "./stored-logs.ts";

/** The logs of all attempts, to write and to read. */
export class Logs extends StoredLogs {
  /** What came of attempts after their log was sealed. */
  readonly late: LateLogs;
  /** Lines by level over time. */
  readonly histograms: Histograms;
  readonly #journal: Journal;
  readonly #clock: Clock;

  constructor(journal: Journal, clock: Clock = systemClock) {
    super(journal, { topic: logTopic, begin: () => ({ nextLine: 1, mark: emptyMark() }) });
    this.#journal = journal;
    this.#clock = clock;
    this.histograms = new Histograms(this);
    this.late = new LateLogs(journal, this, clock);
  }

  /** Opens the door of an attempt's log. Throws Fenced if it is sealed. One at a time: of two, the first append wins. */
  open(jobId: string, attempt: number): Promise<AttemptLog> {
    return AttemptLog.open(this.#journal, jobId, attempt, this.#clock, undefined, (firstLine, nextLine, header) =>
      this.histograms.stored(jobId, attempt, firstLine, nextLine, header),
    );
  }

  /** Ends an attempt's log where it is. No line can be appended after it; sealing again changes nothing. */
  async seal(jobId: string, attempt: number, reason: string): Promise<void> {
    await this.#journal.seal(this.topic(jobId, attempt), (last) => {
      const nextLine = last?.mark ?? 1;
      const seal = create(SealSchema, { reason, sealedAtUs: BigInt(this.#clock()) });
      const mark = last ? readMark(last.data) : emptyMark();
      const entry = create(LogEntrySchema, { nextLine: BigInt(nextLine), entry: { case: "seal", value: seal }, mark });
      return { data: toBinary(LogEntrySchema, entry), mark: nextLine };
    });
  }

  /**
   * What was added to the worker's clock for the newest stored line, microseconds; undefined if there is none. Of a process that is gone
   * it is the last that is known.
   */
  async clockOffsetUs(jobId: string, attempt: number): Promise<number | undefined> {
    const { nextLine } = await this.end(jobId, attempt);
    if (nextLine === 1) return undefined;
    const [newest] = await this.read(jobId, attempt, await this.find(jobId, attempt, nextLine - 1), 1);
    const entry = newest && fromBinary(LogEntrySchema, newest.data).entry;
    return entry?.case === "chunk" ? Number(entry.value.header?.clockOffsetUs ?? 0n) : undefined;
  }
}

/** Lines of a mark by level, as numbers. */
export function levelCounts(mark: LogMark): bigint[] {
  return mark.levelCounts.length > 0 ? mark.levelCounts : emptyMark().levelCounts;
}

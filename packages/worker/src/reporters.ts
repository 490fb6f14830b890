import { create, equals, type JsonObject } from "@bufbuild/protobuf";
import {
  AttemptReportSchema,
  AttemptVitalsSchema,
  type AttemptReport,
  type AttemptVitals,
  type EndOutcome,
} from "@signalbox/protocol";
import { attemptKey } from "./attempt-key.ts";
import { Attempt } from "./attempt.ts";
import { systemClock } from "./clock.ts";
import type { Reporter } from "./outbox.ts";

const rememberedAttempts = 10_000;

/**
 * What has come to rest is said twice more, so long after it was said before, milliseconds: that a job stands for a second can then be seen
 * when the second is over.
 */
const repeatAfterMs = [250, 1000] as const;

/** What was taken last of an attempt: the results apart, which go only when there are others. */
interface Taken {
  readonly vitals: AttemptVitals;
  readonly results: JsonObject | undefined;
  readonly atMs: number;
  /** How often it was taken again since. */
  readonly repeats: number;
}

/** What a worker has to report of: attempts, and what it declined or gave up, until the server has accepted the end. */
export class Reporters {
  readonly #reporters = new Map<string, Reporter>();
  /** Keys of what is over, so that a late repetition does not start it again. Oldest first. */
  readonly #over = new Set<string>();
  readonly #last = new Map<string, Taken>();

  get isEmpty(): boolean {
    return this.#reporters.size === 0;
  }

  /** The attempts that run, or whose lines or end the server does not have. */
  get attempts(): Attempt[] {
    return [...this.#reporters.values()].filter((reporter) => reporter instanceof Attempt);
  }

  get(key: string): Reporter | undefined {
    return this.#reporters.get(key);
  }

  set(key: string, reporter: Reporter): void {
    this.#reporters.set(key, reporter);
  }

  /** Whether its end was accepted, or it was fenced. */
  isOver(key: string): boolean {
    return this.#over.has(key);
  }

  /** The whole state of everything. */
  reports(): AttemptReport[] {
    return [...this.#reporters.values()].map((reporter) => reporter.report({ whole: true }));
  }

  /** It is over. */
  forget(key: string): void {
    this.#reporters.delete(key);
    this.#last.delete(key);
    this.#over.add(key);
    for (const oldest of this.#over) {
      if (this.#over.size <= rememberedAttempts) break;
      this.#over.delete(oldest);
    }
  }

  /** Everything, which is empty afterwards. */
  drain(): [string, Reporter][] {
    const all = [...this.#reporters];
    this.#reporters.clear();
    return all;
  }

  /** The vitals of attempts that are not what was taken last, and of those that have just come to rest. */
  takeNewVitals(attempts: readonly Attempt[]): AttemptVitals[] {
    return attempts.flatMap((attempt) => this.#news(attempt.vitals()) ?? []);
  }

  /** A lever of it has moved: its vitals are said again after that, though they may be the same. */
  repeatVitals(key: string): void {
    const last = this.#last.get(key);
    if (last) this.#last.set(key, { ...last, atMs: systemClock.monotonicMs(), repeats: 0 });
  }

  /** Another link: whoever is there knows no vitals. */
  forgetVitals(): void {
    this.#last.clear();
  }

  #news({ results, ...vitals }: AttemptVitals): AttemptVitals | undefined {
    const key = attemptKey(vitals);
    const last = this.#last.get(key);
    const sameResults = last?.results === results;
    const rests = last && sameResults && equals(AttemptVitalsSchema, { ...last.vitals, atUs: vitals.atUs }, vitals);
    const repeats = rests ? last.repeats + 1 : 0;
    const atMs = systemClock.monotonicMs();
    if (rests && atMs < last.atMs + (repeatAfterMs[last.repeats] ?? Infinity)) return undefined;
    this.#last.set(key, { vitals, results, atMs, repeats });
    return results && !sameResults ? { ...vitals, results } : vitals;
  }
}

/** What is reported of an attempt that does not run here, or no more, and has no lines to deliver. */
export function endReporter(
  { jobId, attempt, outcome, reason }: { jobId: string; attempt: number; outcome: EndOutcome; reason: string },
  receivedGeneration = 0n,
): Reporter {
  const report = create(AttemptReportSchema, {
    jobId,
    attempt,
    receivedGeneration,
    end: { outcome, reason, endLine: 1n, atUs: BigInt(systemClock.wallUs()) },
    nextLine: 1n,
  });
  return { report: () => report };
}

import { JobState, type JobEntry } from "@signalbox/protocol";

/** What was observed of a job for a while. `other`: it waits, starts, or has ended. */
export type TrackState = "running" | "paused" | "lost" | "other";

/** A stretch of a job's life in one state. It goes on to the next one's begin. */
export interface TrackSection {
  readonly state: TrackState;
  /** Server clock, microseconds since the Unix epoch. */
  readonly fromUs: number;
  /** The newest attempt at its begin; 0 if there was none. */
  readonly attempt: number;
  /** The line of that attempt before which it began; undefined if that is not known. */
  readonly line: number | undefined;
}

/** Lines of an attempt that were printed while the job was seen paused or lost. */
export interface LogBand {
  readonly kind: "paused" | "lost";
  readonly from: number;
  /** The line after the last one; undefined: it goes on. */
  readonly to: number | undefined;
}

/** At most so many sections are kept; the oldest go. */
const mostSections = 2_000;

/** Folds a job's entries into the states that were observed. */
export class StateTrack {
  #sections: TrackSection[] = [];

  /** Oldest first. Replaced when there is another one. */
  get sections(): readonly TrackSection[] {
    return this.#sections;
  }

  /** Takes the next entry in. */
  add(entry: JobEntry): void {
    const { record, vitals } = entry;
    if (!record) return;
    const attempt = record.attempts.at(-1)?.number ?? 0;
    const state = stateOf(record.state);
    const before = this.#sections.at(-1);
    if (before?.state === state && before.attempt === attempt) return;
    const section = { state, attempt, fromUs: Number(entry.atUs), line: lineOf(entry, attempt) };
    if (vitals?.attempt === attempt && section.line === undefined) section.line = Number(vitals.lines) + 1;
    this.#sections = [...this.#sections.slice(1 - mostSections), section];
  }

  /** The bands of an attempt's log, by line. */
  bands(attempt: number): LogBand[] {
    return this.#sections.flatMap((section, index) => {
      const { state, line } = section;
      if (section.attempt !== attempt || line === undefined || (state !== "paused" && state !== "lost")) return [];
      const next = this.#sections[index + 1];
      const to = next?.attempt === attempt ? next.line : undefined;
      return to !== undefined && to <= line ? [] : [{ kind: state, from: line, to }];
    });
  }

  /** Forgets everything. */
  reset(): void {
    this.#sections = [];
  }
}

/** The worker says exactly where a pause or a resume took effect. */
function lineOf({ cause }: JobEntry, attempt: number): number | undefined {
  if (cause.case !== "report" || cause.value.attempt !== attempt) return undefined;
  const run = cause.value.levers.find((lever) => lever.value?.value.case === "run");
  return run && run.atLine > 0n ? Number(run.atLine) : undefined;
}

function stateOf(state: JobState): TrackState {
  if (state === JobState.RUNNING) return "running";
  if (state === JobState.PAUSED) return "paused";
  return state === JobState.LOST ? "lost" : "other";
}

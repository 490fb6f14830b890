import type { JobRecord, WorkerRecord, WorkerVitals } from "@signalbox/protocol";
import { unknown } from "../ui/format.ts";
import { heldBack } from "./link-facts.ts";
import { seatKey, sectionsOf, takeSeats, workerJob, type Seats, type Section, type WorkerJob } from "./sections.ts";
import { drainedBy, heardAgo, roundTrip, takesWork, workerClock, workerWord, type WorkerWord } from "./worker-state.ts";

/** A worker as it is shown in the table and in its panel. */
export interface WorkerView {
  readonly record: WorkerRecord;
  readonly word: WorkerWord;
  /** What its clocks say; empty if nothing is to be said. */
  readonly clock: string;
  /** Who drained it and why; empty if nobody did. */
  readonly drained: string;
  readonly sections: readonly Section[];
  /** Oldest assignment first. */
  readonly jobs: readonly WorkerJob[];
  readonly roundTrip: string;
  readonly heardAgo: string;
  readonly buffered: { readonly text: string; readonly bad: boolean };
}

/** Puts together what is shown of a worker. `nowMs` is the server's clock. */
export function workerView(
  record: WorkerRecord,
  vitals: WorkerVitals | undefined,
  seats: Seats,
  jobOf: (id: string) => JobRecord | undefined,
  nowMs: number,
): WorkerView {
  const word = workerWord(record, vitals);
  const attempts = vitals?.attempts ?? [];
  const jobs = new Map(attempts.map((attempt) => [seatKey(attempt), workerJob(attempt, jobOf(attempt.jobId))]));
  return {
    record,
    word,
    clock: workerClock(record, vitals, nowMs),
    drained: word === "Left" ? "" : drainedBy(record, nowMs),
    sections: sectionsOf(takeSeats(seats, attempts, record.slots), jobs, takesWork(record, vitals)),
    jobs: [...jobs.values()],
    // What was measured before it fell silent is not how it is now.
    roundTrip: word === "Connected" || word === "Draining" ? roundTrip(vitals) : unknown,
    heardAgo: heardAgo(vitals, nowMs),
    buffered: buffered(vitals, word),
  };
}

function buffered(vitals: WorkerVitals | undefined, word: WorkerWord): WorkerView["buffered"] {
  const link = vitals?.link;
  if (!link || link.heardAtUs === 0n || word === "Left") return { text: unknown, bad: false };
  const { text, bad } = heldBack(link);
  const heard = word === "Connected" || word === "Draining";
  return { text: heard ? text : `was ${text}`, bad };
}

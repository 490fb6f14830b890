import { recordLate } from "../jobs/late-evidence.ts";
import type { Job } from "../jobs/job.ts";
import type { AttemptLog } from "../logs/attempt-log.ts";
import type { LateLog } from "../logs/late-logs.ts";
import type { Logs } from "../logs/logs.ts";

/** The doors of late logs: one for an attempt, however many deliver to it, and only as long as somebody does. */
export class LateDoors {
  readonly #logs: Logs;
  readonly #open = new Map<string, LateDoor>();

  constructor(logs: Logs) {
    this.#logs = logs;
  }

  /** The door of an attempt that the room ended, for one delivery. Its own log is sealed first, if that is still under way. */
  enter(job: Job, attempt: number): LateDoor {
    const key = `${job.id}/${attempt}`;
    let door = this.#open.get(key);
    if (!door) {
      const opened = this.#logs.seal(job.id, attempt, "given up").then(() => this.#logs.late.open(job.id, attempt));
      this.#open.set(key, (door = new LateDoor(job, attempt, opened)));
    }
    door.deliveries++;
    return door;
  }

  /** A delivery is over. */
  leave(door: LateDoor): void {
    if (--door.deliveries === 0) this.forget(door);
  }

  /** Forgets a door that failed; not the one that was opened after it. */
  forget(door: LateDoor): void {
    const key = `${door.job.id}/${door.attempt}`;
    if (this.#open.get(key) === door) this.#open.delete(key);
  }
}

/** The door of one attempt's late evidence. */
export class LateDoor {
  readonly job: Job;
  readonly attempt: number;
  readonly log: Promise<AttemptLog>;
  deliveries = 0;
  readonly #opened: Promise<LateLog>;
  #isNoting = false;

  constructor(job: Job, attempt: number, opened: Promise<LateLog>) {
    this.job = job;
    this.attempt = attempt;
    this.#opened = opened;
    this.log = opened.then(({ log }) => log);
  }

  /** Says in the job's history that lines came, when the first are on disk and if it does not say so yet. */
  async note(): Promise<void> {
    const { log, firstLine } = await this.#opened;
    const known = this.job.record.late.find(({ attempt }) => attempt === this.attempt);
    if (this.#isNoting || log.durable.nextLine === firstLine || (known && known.firstLine !== 0n)) return;
    this.#isNoting = true;
    try {
      await recordLate(this.job, this.attempt, { firstLine });
    } finally {
      this.#isNoting = false;
    }
  }
}

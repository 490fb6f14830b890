import { Refused } from "../refused.ts";
import type { WorkerSession } from "./worker-session.ts";

/** The connected worker processes: one of each name. */
export class Sessions implements Iterable<WorkerSession> {
  readonly #byName = new Map<string, WorkerSession>();
  readonly #byIncarnation = new Map<string, WorkerSession>();

  [Symbol.iterator](): Iterator<WorkerSession> {
    return this.#byName.values();
  }

  /** The session of a name; undefined if no process of it is connected. */
  get(workerId: string): WorkerSession | undefined {
    return this.#byName.get(workerId);
  }

  /** The session of a process. */
  ofIncarnation(incarnation: string): WorkerSession | undefined {
    return this.#byIncarnation.get(incarnation);
  }

  /** Whether the session is the one that has its name. */
  isCurrent(session: WorkerSession): boolean {
    return this.#byName.get(session.workerId) === session;
  }

  /** Throws Refused if the process is connected under another name. */
  checkFree(incarnation: string, workerId: string): void {
    const other = this.ofIncarnation(incarnation);
    if (other && other.workerId !== workerId)
      throw new Refused(
        "invalid",
        `This incarnation is connected as ${other.workerId}: it is random for each process.`,
      );
  }

  /** Gives the session its name. The one that had it ends, and hears why. */
  put(session: WorkerSession): void {
    const before = this.#byName.get(session.workerId);
    if (before) this.#byIncarnation.delete(before.incarnation);
    this.#byName.set(session.workerId, session);
    this.#byIncarnation.set(session.incarnation, session);
    before?.end(
      before.incarnation === session.incarnation
        ? new Refused("unavailable", "The same process connected again.")
        : new Refused(
            "wrong-state",
            `Another process took the name ${session.workerId} over. Give each worker process a name of its own.`,
          ),
    );
  }

  /** Takes the name from the session; returns whether it had it. */
  remove(session: WorkerSession): boolean {
    if (!this.isCurrent(session)) return false;
    this.#byIncarnation.delete(session.incarnation);
    return this.#byName.delete(session.workerId);
  }

  /** Names that are connected. */
  names(): Iterable<string> {
    return this.#byName.keys();
  }
}

import { create } from "@bufbuild/protobuf";
import { DrainSchema, WorkerDrainSchema, type Actor } from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import { Refused } from "../refused.ts";
import type { Sessions } from "./sessions.ts";
import type { WorkerNames } from "./worker-names.ts";
import { down, type WorkerSession } from "./worker-session.ts";

const longestReason = 500;

interface Parts {
  readonly names: WorkerNames;
  readonly sessions: Sessions;
  readonly clock: Clock;
  /** Who gets work has changed. */
  readonly onChange: () => void;
}

/**
 * Workers that get no more work. A drain is stored with the name and holds for whichever process has it; a stop ends with the process
 * that it was asked of.
 */
export class Drains {
  readonly #parts: Parts;
  /** Processes that were asked to stop, and why. */
  readonly #stopping = new Map<string, string>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Gives the name no more work; resolves when that is durable. The same again changes nothing. Throws Refused. */
  async drain(workerId: string, reason: string, actor: Actor): Promise<void> {
    checkReason(reason);
    const { names, clock } = this.#parts;
    const before = names.check(workerId).drain;
    if (before?.reason !== reason) {
      const atUs = BigInt(clock());
      await names.setDrain(workerId, create(WorkerDrainSchema, { actor, atUs, reason }));
    }
    this.#tell(workerId);
  }

  /** Lets the name have work again; resolves when that is durable. Throws Refused. */
  async undrain(workerId: string): Promise<void> {
    await this.#parts.names.setDrain(workerId, undefined);
    this.#tell(workerId);
  }

  /** Asks the process that has the name to release what it runs and exit. Throws Refused. */
  stop(workerId: string, reason: string): void {
    checkReason(reason);
    this.#parts.names.check(workerId);
    const session = this.#parts.sessions.get(workerId);
    if (!session)
      throw new Refused("wrong-state", `Worker ${workerId} is not connected, so it cannot be asked to stop.`);
    this.#stopping.set(session.incarnation, reason);
    this.#tell(workerId);
  }

  /** The process has gone. */
  forget(incarnation: string): void {
    this.#stopping.delete(incarnation);
  }

  /** Puts what was asked of the name and of the process on its session, and says it to the worker. */
  apply(session: WorkerSession): void {
    const { workerId, incarnation } = session;
    const { names } = this.#parts;
    session.drained = names.get(workerId)?.drain !== undefined;
    session.stopping = this.#stopping.has(incarnation);
    if (!session.drained && !session.stopping) return;
    session.say("drain", () => {
      const stop = this.#stopping.get(incarnation);
      const reason = stop ?? names.get(workerId)?.drain?.reason;
      // Lifted before it was said: there is nothing to say.
      if (reason === undefined) return undefined;
      return down({ case: "drain", value: create(DrainSchema, { stop: stop !== undefined, reason }) });
    });
  }

  #tell(workerId: string): void {
    const session = this.#parts.sessions.get(workerId);
    if (session) this.apply(session);
    this.#parts.onChange();
  }
}

function checkReason(reason: string): void {
  if (reason.length > longestReason)
    throw new Refused("invalid", `The reason has ${reason.length} characters, at most ${longestReason} are kept.`);
}

import type { WorkerRecord } from "@signalbox/protocol";
import type { Drains } from "./drains.svelte.ts";
import type { WorkerRoom } from "./worker-room.svelte.ts";

/** What the desk acts on, asked anew each time. */
export interface WorkerDeskOf {
  readonly room: WorkerRoom;
  readonly drains: Drains;
  isLive(): boolean;
  /** A question was answered or left: the keyboard goes back to the list. */
  onKept(): void;
}

/** What the page of workers asks of them, and what it asks back before. While it is not live nothing is asked. */
export class WorkerDesk {
  readonly #of: WorkerDeskOf;
  /** The question that is open: of which worker, before what. */
  asking = $state.raw<{ readonly id: string; readonly what: "drain" | "stop" } | undefined>();
  /** What was asked last, in words; read out once. */
  said = $state("");

  constructor(of: WorkerDeskOf) {
    this.#of = of;
  }

  /** Leaves the question. */
  keep(): void {
    this.asking = undefined;
    this.#of.onKept();
  }

  /** No more work for the worker. */
  drain(id: string, reason?: string): void {
    const worker = this.#worker(id);
    if (!worker) return;
    if (this.asking) this.keep();
    this.#of.drains.drain(worker, reason);
    this.said = `${id} gets no new job.`;
  }

  /** Lets the worker have work again. */
  undrain(id: string): void {
    const worker = this.#worker(id);
    if (!worker) return;
    this.#of.drains.undrain(worker);
    this.said = `${id} gets jobs again.`;
  }

  /** Ends the worker. */
  stop(id: string): void {
    const worker = this.#worker(id);
    if (!worker) return;
    this.keep();
    this.#of.drains.stop(worker);
    this.said = `${id} is asked to stop.`;
  }

  /** Undrains a worker at once; before a drain it asks why. Says whether it asks. */
  turn(id: string | undefined): boolean {
    const worker = this.#worker(id);
    if (!worker || worker.transient || worker.leftAtUs > 0n || this.#of.drains.asked(worker)) return false;
    if (worker.drain) {
      this.undrain(worker.workerId);
      return false;
    }
    this.asking = { id: worker.workerId, what: "drain" };
    return true;
  }

  #worker(id: string | undefined): WorkerRecord | undefined {
    return id === undefined || !this.#of.isLive() ? undefined : this.#of.room.record(id);
  }
}

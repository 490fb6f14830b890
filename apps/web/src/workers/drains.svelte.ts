import type { Client } from "@connectrpc/connect";
import type { JobService, WorkerRecord } from "@signalbox/protocol";
import { SvelteMap } from "svelte/reactivity";
import { refusalText } from "../live/refusal.ts";
import type { WorkerRoom } from "./worker-room.svelte.ts";

/** What was asked of a worker here, and when, milliseconds since the Unix epoch. */
export interface Asked {
  readonly what: "drain" | "undrain" | "stop";
  readonly atMs: number;
  /** The process that was asked. */
  readonly incarnation: string;
}

/** Something that was asked of a worker and did not happen. */
export interface DrainFault {
  readonly workerId: string;
  readonly title: string;
  readonly text: string;
}

const titles = { drain: "Not drained", undrain: "Not undrained", stop: "Not stopped" };

/**
 * Drains workers and lets them have work again. What was asked stands until the server's word on it, a stop until the process has
 * left. What is asked of one worker is sent in order.
 */
export class Drains {
  readonly #client: Client<typeof JobService>;
  readonly #room: WorkerRoom;
  readonly #onFault: (fault: DrainFault) => void;
  readonly #asked = new SvelteMap<string, Asked>();
  readonly #faults = new SvelteMap<string, DrainFault>();
  // eslint-disable-next-line svelte/prefer-svelte-reactivity -- never read by components
  readonly #lines = new Map<string, Promise<void>>();

  constructor(client: Client<typeof JobService>, room: WorkerRoom, onFault: (fault: DrainFault) => void = () => {}) {
    this.#client = client;
    this.#room = room;
    this.#onFault = onFault;
  }

  /** What was asked here and has not been seen yet. */
  asked(worker: WorkerRecord): Asked | undefined {
    const asked = this.#asked.get(worker.workerId);
    if (asked?.what !== "stop") return asked;
    return worker.leftAtUs > 0n || worker.incarnation !== asked.incarnation ? undefined : asked;
  }

  /** The newest wish that did not come true; gone with the next one. */
  fault(workerId: string): DrainFault | undefined {
    return this.#faults.get(workerId);
  }

  /** No more work for the worker; what runs goes on. */
  drain(worker: WorkerRecord, reason = ""): void {
    this.#ask(
      worker,
      "drain",
      async () => (await this.#client.drainWorker({ workerId: worker.workerId, reason })).worker,
    );
  }

  /** Lets the worker have work again. */
  undrain(worker: WorkerRecord): void {
    this.#ask(worker, "undrain", async () => (await this.#client.undrainWorker({ workerId: worker.workerId })).worker);
  }

  /** Releases what the worker runs and ends its process. */
  stop(worker: WorkerRecord, reason = ""): void {
    this.#ask(
      worker,
      "stop",
      async () => (await this.#client.drainWorker({ workerId: worker.workerId, stop: true, reason })).worker,
    );
  }

  #ask(worker: WorkerRecord, what: Asked["what"], act: () => Promise<WorkerRecord | undefined>): void {
    const id = worker.workerId;
    const asked = { what, atMs: Date.now(), incarnation: worker.incarnation };
    this.#asked.set(id, asked);
    this.#faults.delete(id);
    const line = (this.#lines.get(id) ?? Promise.resolve()).then(async () => {
      const told = this.#room.told(id);
      try {
        const record = await act();
        if (record) this.#room.learn(record, told);
        if (what !== "stop") this.#settle(id, asked);
      } catch (error) {
        this.#settle(id, asked);
        const fault = { workerId: id, title: titles[what], text: refusalText(error) };
        this.#faults.set(id, fault);
        this.#onFault(fault);
      }
    });
    this.#lines.set(id, line);
    void line.then(() => this.#lines.get(id) === line && this.#lines.delete(id));
  }

  #settle(id: string, asked: Asked): void {
    if (this.#asked.get(id) === asked) this.#asked.delete(id);
  }
}

import type { Subscription, WatchResponse, WorkerRecord, WorkerVitals } from "@signalbox/protocol";
import type { Watched } from "../live/watch-link.ts";
import { takeSeats, type Seats } from "./sections.ts";

/* eslint-disable svelte/prefer-svelte-reactivity -- read through #version, which changes at most a few times a second */

/**
 * What this tab knows of workers: the newest record and vitals of each, and in which slot each attempt is drawn. Components that read it
 * are updated at most four times a second, and in the next frame when a record changes.
 */
export class WorkerRoom {
  readonly #records = new Map<string, WorkerRecord>();
  readonly #vitals = new Map<string, WorkerVitals>();
  readonly #seats = new Map<string, Seats>();
  /** How often the stream has told of a worker: an answer that is older than its word changes nothing. */
  readonly #told = new Map<string, number>();
  #version = $state.raw(0);
  #recordsVersion = $state.raw(0);
  #recordsChanged = false;
  #complete = $state.raw(false);
  #fault = $state.raw<string | undefined>(undefined);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #frame = 0;

  /** Whether all workers are known. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Why workers cannot be followed; undefined if nothing is wrong. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** How many workers are known, those that left among them. */
  get size(): number {
    void this.#recordsVersion;
    return this.#records.size;
  }

  /** All workers, in no order. */
  list(): WorkerRecord[] {
    void this.#recordsVersion;
    return [...this.#records.values()];
  }

  record(id: string): WorkerRecord | undefined {
    void this.#recordsVersion;
    return this.#records.get(id);
  }

  vitals(id: string): WorkerVitals | undefined {
    void this.#version;
    return this.#vitals.get(id);
  }

  /** Where each attempt of a worker is drawn. */
  seats(id: string): Seats {
    void this.#version;
    return this.#seats.get(id) ?? [];
  }

  /** What to follow. */
  watchList(): Watched {
    return {
      id: "workers",
      kind: (): Subscription["kind"] => ({ case: "workers", value: { $typeName: "signalbox.v1.WorkersSubscription" } }),
      apply: (message) => this.#apply(message),
    };
  }

  /** How much the stream has told of a worker so far, for {@link learn}. */
  told(id: string): number {
    return this.#told.get(id) ?? 0;
  }

  /** Takes in a record that came with an answer, unless the stream has told of the worker since it had `told` so much. */
  learn(record: WorkerRecord, told: number): void {
    if (this.told(record.workerId) !== told) return;
    this.#records.set(record.workerId, record);
    this.#updateSoon();
  }

  /** Ends timers. */
  close(): void {
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
  }

  #apply(message: WatchResponse["message"]): void {
    switch (message.case) {
      case "workers":
        for (const record of message.value.records) {
          this.#records.set(record.workerId, record);
          this.#told.set(record.workerId, this.told(record.workerId) + 1);
          this.#seat(record.workerId);
        }
        for (const id of message.value.gone) {
          for (const map of [this.#records, this.#seats, this.#told]) map.delete(id);
          // Vitals may come before the record: those of a connected worker are of one that has come back under the name.
          if (!this.#vitals.get(id)?.connected) this.#vitals.delete(id);
        }
        this.#updateSoon();
        break;
      case "workerVitals":
        for (const vitals of message.value.vitals) {
          this.#vitals.set(vitals.workerId, vitals);
          this.#seat(vitals.workerId);
        }
        this.#updateLater();
        break;
      case "caughtUp":
        this.#complete = true;
        this.#updateSoon();
        break;
      case "reset":
        // Newer vitals may be here already, and they are told only when they change.
        for (const map of [this.#records, this.#seats, this.#told]) map.clear();
        this.#complete = false;
        this.#updateSoon();
        break;
      case "error":
        this.#fault = message.value.message;
        break;
      default:
        break;
    }
  }

  #seat(id: string): void {
    const before = this.#seats.get(id) ?? [];
    const attempts = this.#vitals.get(id)?.attempts ?? [];
    this.#seats.set(id, takeSeats(before, attempts, this.#records.get(id)?.slots ?? 0));
  }

  #updateSoon(): void {
    this.#recordsChanged = true;
    if (document.hidden) this.#updateLater();
    else this.#frame ||= requestAnimationFrame(() => this.#update());
  }

  #updateLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      // A hidden tab draws nothing: its next frame is when it is seen again.
      if (document.hidden) this.#frame ||= requestAnimationFrame(() => this.#update());
      else this.#update();
    }, 250);
  }

  #update(): void {
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
    this.#timer = undefined;
    this.#frame = 0;
    this.#version++;
    if (this.#recordsChanged) this.#recordsVersion++;
    this.#recordsChanged = false;
  }
}

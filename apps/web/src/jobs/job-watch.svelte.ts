import type { Receipt, Subscription, WatchResponse } from "@signalbox/protocol";
import type { Watched } from "../live/watch-link.ts";
import { JobHistory, type CommandMarker, type HistoryItem } from "./history.ts";
import type { JobRoom } from "./job-room.svelte.ts";
import type { LogBand, TrackSection } from "./state-track.ts";

/** Follows one job: its history, and through the room its record and vitals. */
export class JobWatch implements Watched {
  readonly id: string;
  readonly #jobId: string;
  readonly #room: JobRoom;
  readonly #history = new JobHistory();
  #version = $state.raw(0);
  #complete = $state.raw(false);
  #fault = $state.raw<string | undefined>(undefined);

  constructor(room: JobRoom, jobId: string) {
    this.#room = room;
    this.#jobId = jobId;
    this.id = `job/${jobId}`;
  }

  /** What happened, oldest first. */
  get items(): readonly HistoryItem[] {
    void this.#version;
    return this.#history.items;
  }

  /** Markers of an attempt's log, by line. */
  markers(attempt: number): readonly CommandMarker[] {
    void this.#version;
    return this.#history.markers(attempt);
  }

  /** What was observed of the job, oldest first. */
  get sections(): readonly TrackSection[] {
    void this.#version;
    return this.#history.sections;
  }

  /** Lines of an attempt that were printed while the job was paused or lost. */
  bands(attempt: number): readonly LogBand[] {
    void this.#version;
    return this.#history.bands(attempt);
  }

  /** The command with a generation, if it is known. */
  receipt(generation: bigint): Receipt | undefined {
    void this.#version;
    return this.#history.receipt(generation);
  }

  /** Whether the history is complete up to now. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Why the job cannot be followed; undefined if nothing is wrong. */
  get fault(): string | undefined {
    return this.#fault;
  }

  kind(): Subscription["kind"] {
    return { case: "job", value: { $typeName: "signalbox.v1.JobSubscription", jobId: this.#jobId } };
  }

  apply(message: WatchResponse["message"]): void {
    switch (message.case) {
      case "entries": {
        this.#history.add(message.value.entries);
        const last = message.value.entries.at(-1);
        if (last?.record) this.#room.learn(last.record);
        if (last?.vitals) {
          const known = this.#room.vitals(this.#jobId);
          if (!known || known.asOfUs < last.vitals.asOfUs) this.#room.learnVitals([last.vitals]);
        }
        this.#version++;
        break;
      }
      case "records":
        for (const job of message.value.records) this.#room.learn(job);
        break;
      case "vitals":
        this.#room.learnVitals(message.value.vitals);
        break;
      case "caughtUp":
        this.#complete = true;
        break;
      case "reset":
        this.#history.reset();
        this.#complete = false;
        this.#version++;
        break;
      case "error":
        this.#fault = message.value.message;
        break;
      default:
        break;
    }
  }
}

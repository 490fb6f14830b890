import type { JobRecord, JobType, Subscription, WatchResponse } from "@signalbox/protocol";
import { SvelteMap } from "svelte/reactivity";
import type { Live } from "../live/live.svelte.ts";
import type { Watched } from "../live/watch-link.ts";
import { canRetry } from "./job-state.ts";

/**
 * Which workers are connected, for jobs whose program only their own worker can start: such a job can be retried only where that worker is
 * there. Others that name a worker wait for it. Followed from the first ended job of that kind that is shown.
 */
export class PinnedWorkers implements Watched {
  readonly id = "pinned-workers";
  readonly #connected = new SvelteMap<string, boolean>();
  readonly #typeOf: (job: JobRecord) => JobType | undefined;
  #complete = $state(false);

  /** To be made while a component is set up. `shown` are the jobs on the page; of a type that nobody offers nothing is known. */
  constructor(live: Live, shown: () => readonly JobRecord[], typeOf: (job: JobRecord) => JobType | undefined) {
    this.#typeOf = typeOf;
    // From then on as long as the page is there: a row that is scrolled out of sight opens no other stream.
    let needed = $state(false);
    $effect(() => {
      if (!needed && shown().some((job) => this.#isPinned(job) && canRetry(job))) needed = true;
    });
    $effect(() => (needed ? live.follow(this) : undefined));
  }

  /** Why a job cannot be retried now; undefined: it can, or is no matter of its worker. */
  whyNoRetry(job: JobRecord): string | undefined {
    if (!this.#isPinned(job) || !this.#complete || this.#connected.get(job.workerId)) return undefined;
    return "Only its own worker can run it, and that one is not connected";
  }

  #isPinned(job: JobRecord): boolean {
    return job.workerId !== "" && (this.#typeOf(job)?.pinned ?? true);
  }

  kind(): Subscription["kind"] {
    return { case: "workers", value: { $typeName: "signalbox.v1.WorkersSubscription" } };
  }

  apply(message: WatchResponse["message"]): void {
    switch (message.case) {
      case "workers":
        for (const id of message.value.gone) this.#connected.delete(id);
        break;
      case "workerVitals":
        for (const { workerId, connected } of message.value.vitals)
          if (this.#connected.get(workerId) !== connected) this.#connected.set(workerId, connected);
        break;
      case "caughtUp":
        this.#complete = true;
        break;
      case "reset":
        this.#connected.clear();
        this.#complete = false;
        break;
      default:
        break;
    }
  }
}

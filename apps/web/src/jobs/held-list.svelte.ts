import type { JobRecord } from "@signalbox/protocol";
import { untrack } from "svelte";
import { countNew } from "./job-views.ts";

/** Where a list of jobs is read from. */
export interface HeldListOf {
  /** The jobs in the order in which they belong now. */
  order(): readonly JobRecord[];
  /** The newest record of a job. */
  record(id: string): JobRecord | undefined;
  /** Whether rows keep their places: somebody points at them, or reads further down. */
  isHeld(): boolean;
}

/** The rows of a table of jobs. While the list is held no row moves, each shows its newest state, and what is new waits to be shown. */
export class HeldList {
  readonly #of: HeldListOf;
  #rows = $state.raw<readonly JobRecord[]>([]);
  #waiting = $state.raw(0);

  /** To be made while a component is set up: it follows the order for as long as that exists. */
  constructor(of: HeldListOf) {
    this.#of = of;
    $effect(() => {
      const order = of.order();
      const held = of.isHeld();
      untrack(() => (held && this.#rows.length > 0 ? this.#refresh(order) : this.show()));
    });
  }

  get rows(): readonly JobRecord[] {
    return this.#rows;
  }

  /** How many jobs of the list have no row yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Brings the rows into the order in which they belong, new ones included. */
  show(): void {
    this.#rows = this.#of.order();
    this.#waiting = 0;
  }

  #refresh(order: readonly JobRecord[]): void {
    this.#waiting = countNew(order, this.#rows);
    this.#rows = this.#rows.flatMap((job) => this.#of.record(job.id) ?? []);
  }
}

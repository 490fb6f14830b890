import { untrack } from "svelte";
import { idsOf } from "./list/id-sets.ts";

/** Where a list of jobs is read from. */
export interface HeldListOf {
  /** Ids of the jobs, in the order in which they belong now. */
  order(): readonly string[];
  /** Whether the job still exists. Is not followed. */
  exists(id: string): boolean;
  /** Whether rows keep their places: somebody is among them, or reads further down. */
  isHeld(): boolean;
}

/** The rows of a table of jobs, by id. While the list is held no row moves; what is new waits to be shown, and so does another order. */
export class HeldList {
  readonly #of: HeldListOf;
  #rows = $state.raw<readonly string[]>([]);
  /** The same ids, made when somebody asks. */
  #shown: ReadonlySet<string> | undefined;
  #waiting = $state.raw(0);
  #moved = $state.raw(false);

  /** To be made while a component is set up: it follows the order for as long as that exists. */
  constructor(of: HeldListOf) {
    this.#of = of;
    $effect(() => {
      const order = of.order();
      const held = of.isHeld();
      untrack(() => (held && this.#rows.length > 0 ? this.#refresh(order) : this.show()));
    });
  }

  get rows(): readonly string[] {
    return this.#rows;
  }

  /** How many jobs of the list have no row yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether rows would stand elsewhere, or not be there, if the list were not held. */
  get moved(): boolean {
    return this.#moved;
  }

  /** Brings the rows into the order in which they belong, new ones included. */
  show(): void {
    this.#set(this.#of.order());
    this.#waiting = 0;
    this.#moved = false;
  }

  #refresh(order: readonly string[]): void {
    if (!this.#rows.every((id) => this.#of.exists(id))) this.#set(this.#rows.filter((id) => this.#of.exists(id)));
    const shown = (this.#shown ??= idsOf(this.#rows));
    let waiting = 0;
    for (const id of order) if (!shown.has(id)) waiting++;
    this.#waiting = waiting;
    this.#moved = order.length - waiting !== this.#rows.length || isMoved(this.#rows, order, shown);
  }

  #set(rows: readonly string[]): void {
    this.#rows = rows;
    this.#shown = undefined;
  }
}

/** Whether the rows are in another order than in `order`, new ones left out. */
function isMoved(rows: readonly string[], order: readonly string[], shown: ReadonlySet<string>): boolean {
  let at = 0;
  for (const id of order) if (shown.has(id) && rows[at++] !== id) return true;
  return false;
}

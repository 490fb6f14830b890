import { untrack } from "svelte";
import type { Pool } from "./pools.ts";
import { countNew, layRows, rowAt, sameOrder, sizeOf, type TableRow, type TableSize } from "./table-rows.ts";

/** Where the list of workers is read from. */
export interface WorkerListOf {
  /** The pools to show, in the order in which they belong now. */
  order(): readonly Pool[];
  /** Job types that jobs wait for and no worker offers. */
  types(): readonly string[];
  /** Workers that are gone are shown too. */
  isUnfolded(): boolean;
  /** Whether rows keep their places although nobody reads further down: somebody points at them. */
  isHeld(): boolean;
}

/** Pixels above and below the screen in which rows are there too. */
const overscan = 300;

/**
 * The rows of the table of workers, where they stand, and which of them are near the screen. While the list is held or scrolled no row
 * moves, and workers that are new wait to be shown.
 */
export class WorkerList {
  readonly #of: WorkerListOf;
  /** The element that scrolls, and its measures, px; set by the table. */
  scroller = $state.raw<HTMLElement>();
  scrollTop = $state(0);
  height = $state(600);
  width = $state(1200);
  /** The worker that the keyboard is on. */
  cursorId = $state.raw<string | undefined>(undefined);
  #pools = $state.raw<readonly Pool[]>([]);
  #waiting = $state.raw(0);
  readonly size: TableSize = $derived(sizeOf(this.width));
  readonly #heights = $derived({ head: 32, worker: this.size === "small" ? 60 : 36 });
  readonly rows: readonly TableRow[] = $derived.by(() =>
    layRows(this.#of.types(), this.#pools, (pool) => pool.kind === "gone" && !this.#of.isUnfolded(), this.#heights),
  );
  readonly #first = $derived(rowAt(this.rows, this.scrollTop - overscan));
  readonly #last = $derived(Math.min(this.rows.length, rowAt(this.rows, this.scrollTop + this.height + overscan) + 1));
  readonly #workers = $derived(this.rows.filter((row) => row.kind === "worker"));
  /** The rows to draw. */
  readonly near: readonly TableRow[] = $derived(this.rows.slice(this.#first, this.#last));
  /** How many workers have a row. */
  readonly count: number = $derived(this.#pools.reduce((sum, pool) => sum + pool.workers.length, 0));
  /** The pool whose workers are at the top while its own head is out of sight. */
  readonly stuck: Pool | undefined = $derived.by(() => {
    const top = this.rows[rowAt(this.rows, this.scrollTop)];
    return top?.kind === "worker" ? this.#pools.find((pool) => pool.id === top.poolId) : undefined;
  });

  /** To be made while a component is set up: it follows the order for as long as that exists. */
  constructor(of: WorkerListOf) {
    this.#of = of;
    $effect(() => {
      const order = of.order();
      const held = of.isHeld() || this.scrollTop > this.#heights.head;
      untrack(() => (held && this.#pools.length > 0 ? (this.#waiting = countNew(this.#pools, order)) : this.show()));
    });
  }

  /** Index of the first row to draw. */
  get first(): number {
    return this.#first;
  }

  /** How many workers of the list have no row yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Height of the rows above and below those to draw, px. */
  get room(): { readonly above: number; readonly below: number } {
    const last = this.near.at(-1);
    const end = this.rows.at(-1);
    return {
      above: this.near[0]?.top ?? 0,
      below: last && end ? end.top + end.height - last.top - last.height : 0,
    };
  }

  /** Height of the head of the table, which covers rows, px. */
  get headHeight(): number {
    return this.size === "small" ? 0 : 28;
  }

  /** Brings the rows into the order in which they belong, new ones included. */
  show(): void {
    const order = this.#of.order();
    if (!sameOrder(this.#pools, order)) this.#pools = order;
    this.#waiting = 0;
  }

  /** Moves the cursor by so many workers and keeps it in sight. */
  move(by: number): void {
    const rows = this.#workers;
    const at = rows.findIndex((row) => row.workerId === this.cursorId);
    const to = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + by));
    const next = rows[to];
    if (!next) return;
    this.cursorId = next.workerId;
    this.reveal(next.workerId);
  }

  /** Scrolls as little as brings a worker into sight. */
  reveal(workerId: string): void {
    const row = this.#workers.find((each) => each.workerId === workerId);
    if (!row || !this.scroller) return;
    const room = this.scroller.clientHeight - this.headHeight;
    // The head of its pool stands over the first row.
    const above = row.top - this.#heights.head;
    if (above < this.scroller.scrollTop) this.scroller.scrollTop = above;
    else if (row.top + row.height > this.scroller.scrollTop + room)
      this.scroller.scrollTop = row.top + row.height - room;
  }

  /** Scrolls to the first row. */
  toTop(): void {
    this.scroller?.scrollTo({ top: 0 });
  }

  /** Gives the keyboard to the table. */
  focus(): void {
    this.scroller?.focus({ preventScroll: true });
  }
}

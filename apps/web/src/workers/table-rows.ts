import type { Pool } from "./pools.ts";

/** A row of the table of workers, and where it stands. Pixels. */
export type TableRow = { readonly top: number; readonly height: number } & (
  | { readonly kind: "type"; readonly key: string; readonly type: string }
  | { readonly kind: "pool"; readonly key: string; readonly pool: Pool; readonly folded: boolean }
  | { readonly kind: "worker"; readonly key: string; readonly workerId: string; readonly poolId: string }
);

/** How much room the table has: with all columns, without some, or two lines a row. */
export type TableSize = "widest" | "wide" | "broad" | "middle" | "narrow" | "small";

/** The size of a table that is so many pixels wide. */
export function sizeOf(width: number): TableSize {
  if (width >= 1640) return "widest";
  if (width >= 1400) return "wide";
  if (width >= 1180) return "broad";
  if (width >= 900) return "middle";
  return width >= 700 ? "narrow" : "small";
}

/** Heights of rows. Pixels. */
export interface RowHeights {
  readonly head: number;
  readonly worker: number;
}

/** Lays out the table: types that nobody offers, then each pool with its workers; a folded pool is its head alone. */
export function layRows(
  types: Iterable<string>,
  pools: readonly Pool[],
  isFolded: (pool: Pool) => boolean,
  heights: RowHeights,
): TableRow[] {
  const rows: TableRow[] = [];
  let top = 0;
  for (const type of types) {
    rows.push({ kind: "type", key: `type ${type}`, type, top, height: heights.head });
    top += heights.head;
  }
  for (const pool of pools) {
    const folded = isFolded(pool);
    rows.push({ kind: "pool", key: `pool ${pool.id}`, pool, folded, top, height: heights.head });
    top += heights.head;
    if (folded) continue;
    for (const { workerId } of pool.workers) {
      rows.push({ kind: "worker", key: workerId, workerId, poolId: pool.id, top, height: heights.worker });
      top += heights.worker;
    }
  }
  return rows;
}

/** Index of the first row that reaches below `y`; the number of rows if none does. */
export function rowAt(rows: readonly TableRow[], y: number): number {
  let from = 0;
  let to = rows.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    const row = rows[middle];
    if (row && row.top + row.height <= y) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Whether two layouts are the same pools with the same workers in the same order. */
export function sameOrder(a: readonly Pool[], b: readonly Pool[]): boolean {
  return (
    a.length === b.length &&
    a.every((pool, at) => {
      const other = b[at];
      return (
        other?.id === pool.id &&
        other.workers.length === pool.workers.length &&
        pool.workers.every((worker, index) => worker.workerId === other.workers[index]?.workerId)
      );
    })
  );
}

/** How many workers of `order` are not in `shown`. */
export function countNew(shown: readonly Pool[], order: readonly Pool[]): number {
  const known = new Set(shown.flatMap((pool) => pool.workers.map((worker) => worker.workerId)));
  return order.reduce((sum, pool) => sum + pool.workers.filter((worker) => !known.has(worker.workerId)).length, 0);
}

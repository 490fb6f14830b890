import type { AuditRow } from "@signalbox/protocol";
import { rowId } from "./audit-place.ts";

// Lists of rows, newest first.

/** Whether a row of one list is in the other. */
export function overlap(a: readonly AuditRow[], b: readonly AuditRow[]): boolean {
  const ids = new Set(a.map(rowId));
  return b.some((row) => ids.has(rowId(row)));
}

/** The rows, and behind them those of the next page. */
export function withPage(rows: readonly AuditRow[], page: readonly AuditRow[]): AuditRow[] {
  const known = new Set(rows.map(rowId));
  return [...rows, ...page.filter((row) => !known.has(rowId(row)))];
}

/**
 * The rows with others: known ones are replaced where they stand. With `onlyNewer`, rows behind the last one are left out: they come with
 * their page.
 */
export function merged(
  rows: readonly AuditRow[],
  others: readonly AuditRow[],
  onlyNewer: boolean,
): readonly AuditRow[] {
  const news = new Map(others.map((row) => [rowId(row), row]));
  const next = rows.map((row) => {
    const newer = news.get(rowId(row));
    if (newer) news.delete(rowId(row));
    return newer ?? row;
  });
  const oldest = next.at(-1);
  const fresh = [...news.values()].filter((row) => !onlyNewer || !oldest || newestFirst(row, oldest) < 0);
  return fresh.length > 0 ? [...next, ...fresh].sort(newestFirst) : next;
}

function newestFirst(a: AuditRow, b: AuditRow): number {
  if (a.atUs !== b.atUs) return a.atUs > b.atUs ? -1 : 1;
  if (a.topic !== b.topic) return a.topic > b.topic ? -1 : 1;
  return a.position > b.position ? -1 : 1;
}

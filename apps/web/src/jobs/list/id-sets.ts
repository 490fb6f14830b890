/** Ids, each once. A set never changes: functions here make others. */
export type Ids = ReadonlySet<string>;

/** A set of ids. */
export function idsOf(ids: Iterable<string>): Ids {
  return new Set(ids);
}

/** The set with the id if it was without, and without if it was with. */
export function toggled(ids: Ids, id: string): Ids {
  const next = new Set(ids);
  if (!next.delete(id)) next.add(id);
  return next;
}

/**
 * The set with all rows from `anchor` to `id`, these two included; where the anchor is no row (any more), with `id` alone. The same set if
 * `id` is no row.
 */
export function extended(ids: Ids, rows: readonly string[], anchor: string | undefined, id: string): Ids {
  const to = rows.indexOf(id);
  if (to < 0) return ids;
  const from = anchor === undefined ? -1 : rows.indexOf(anchor);
  const [first, last] = from < 0 ? [to, to] : [Math.min(from, to), Math.max(from, to)];
  return new Set([...ids, ...rows.slice(first, last + 1)]);
}

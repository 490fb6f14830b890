import { create } from "@bufbuild/protobuf";
import {
  AuditRowsSchema,
  CaughtUpSchema,
  ResetSchema,
  type AuditSubscription,
  type Subscription,
  type WatchResponse,
} from "@signalbox/protocol";
import { compare } from "../audit/filter.ts";
import { toAuditRow } from "../audit/row.ts";
import { pause } from "../pause.ts";
import type { LiveParts } from "./live-parts.ts";
import { step } from "./step.ts";

/** Rows are sent at most so often, milliseconds: a row that changes twice in between goes once. */
const everyMs = 100;
const mostRows = 200;

/** Follows the audit view: `caught_up`, then rows that come or change. Throws Refused. */
export async function* watchAudit(
  parts: Pick<LiveParts, "audit">,
  { id }: Subscription,
  { filter }: AuditSubscription,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const rows = parts.audit.view.follow(filter, signal);
  // Begins to listen before it says so.
  let next = rows.next();
  yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) });
  for (let result = await next; !result.done; result = await next) {
    const run = result.value;
    if (run === undefined) {
      yield step(id, { case: "reset", value: create(ResetSchema, { reason: "too many rows at once" }) });
      yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) });
    }
    const sorted = run?.toSorted(compare) ?? [];
    for (let at = 0; at < sorted.length; at += mostRows) {
      const value = create(AuditRowsSchema, { rows: sorted.slice(at, at + mostRows).map(toAuditRow) });
      yield step(id, { case: "audit", value });
    }
    if (sorted.length > 0 || run === undefined) await pause(everyMs, signal);
    next = rows.next();
  }
}

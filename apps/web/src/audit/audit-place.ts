import { clone, create } from "@bufbuild/protobuf";
import {
  AuditFilterSchema,
  AuditKind,
  readAuditFilter,
  writeAuditFilter,
  type ActorKind,
  type AuditFilter,
  type AuditRow,
} from "@signalbox/protocol";
import { clock } from "../ui/format.ts";
import { actorKindNames, kindNames } from "./audit-words.ts";

// What the page of the audit shows, as its URL says it.

/** What the page of the audit shows. */
export interface AuditPlace {
  /** What is asked for; see {@link filterOf} for what is asked of the server. */
  readonly filter: AuditFilter;
  /** What the server and workers did by themselves is shown too. */
  readonly everything: boolean;
  /** The row whose details are open, as {@link rowId} names it. */
  readonly row: string | undefined;
  /** Parameters of the URL that are not understood: nothing fits them, for left out they would let everything through. */
  readonly wrong: readonly WrongParameter[];
}

/** A parameter of the URL that is not understood. */
export interface WrongParameter {
  readonly field: string;
  readonly value: string;
}

/** What people do; the rest is reports of workers and what the server does by itself. */
const byPeople: readonly AuditKind[] = [
  AuditKind.START,
  AuditKind.COMMAND,
  AuditKind.WITHDRAW,
  AuditKind.GIVE_UP,
  AuditKind.RETRY,
  AuditKind.SIGN_IN,
  AuditKind.REFUSAL,
  AuditKind.DRAIN,
  AuditKind.LIMIT,
  AuditKind.BULK,
];

/** Reads the parameters of the page's URL. */
export function readAuditPlace(query: URLSearchParams): AuditPlace {
  const { filter, wrong } = readAuditFilter(query);
  const isWrong = (field: string, value: string) =>
    readAuditFilter(new URLSearchParams([[field, value]])).wrong.length > 0;
  return {
    filter,
    wrong: [...new Set(wrong)].flatMap((field) =>
      query.getAll(field).flatMap((value) => (isWrong(field, value) ? { field, value } : [])),
    ),
    everything: query.get("view") === "everything",
    row: query.get("row") || undefined,
  };
}

/** The path of the page. */
export function auditPath({ filter, everything, row, wrong = [] }: Partial<AuditPlace>): string {
  const query = filter ? writeAuditFilter(filter) : new URLSearchParams();
  for (const { field, value } of wrong) query.append(field, value);
  if (everything) query.set("view", "everything");
  if (row !== undefined) query.set("row", row);
  return query.size > 0 ? `/audit?${query.toString()}` : "/audit";
}

/** The filter that the server is asked with: without kinds, and unless everything is wanted, what people did. */
export function filterOf({ filter, everything }: AuditPlace): AuditFilter {
  const asked = clone(AuditFilterSchema, filter);
  if (asked.kinds.length === 0 && asked.actorKinds.length === 0 && !everything) asked.kinds = [...byPeople];
  return asked;
}

/** The address of the same rows as a file. */
export function exportPath(place: AuditPlace): string {
  const query = writeAuditFilter(filterOf(place));
  // The server refuses what the page does not understand either.
  for (const { field, value } of place.wrong) query.append(field, value);
  return `/audit.ndjson?${query.toString()}`;
}

/** What names a row. */
export function rowId({ topic, position }: AuditRow): string {
  return `${topic}@${position}`;
}

/** Ids of the saved views. */
export type AuditViewId = "people" | "refused" | "sign-ins" | "everything";

/** The saved views: what each asks for. */
export const auditViews: readonly { readonly id: AuditViewId; readonly label: string; readonly place: AuditPlace }[] = [
  { id: "people", label: "What people did", place: placeOf({}) },
  { id: "refused", label: "Refused", place: placeOf({ refused: true }) },
  { id: "sign-ins", label: "Sign-ins", place: placeOf({ kinds: [AuditKind.SIGN_IN] }) },
  { id: "everything", label: "Everything", place: { ...placeOf({}), everything: true } },
];

function placeOf(init: Parameters<typeof create<typeof AuditFilterSchema>>[1]): AuditPlace {
  return { filter: create(AuditFilterSchema, init), everything: false, row: undefined, wrong: [] };
}

/** The saved view that a place shows, whatever it is narrowed to besides; undefined if it is none of them. */
export function viewOf({ filter, everything, wrong }: AuditPlace): AuditViewId | undefined {
  if (wrong.length > 0) return undefined;
  if (everything) return "everything";
  if (filter.refused === true && filter.kinds.length === 0) return "refused";
  if (filter.kinds.length === 1 && filter.kinds[0] === AuditKind.SIGN_IN) return "sign-ins";
  return filter.kinds.length === 0 && filter.actorKinds.length === 0 && filter.refused === undefined
    ? "people"
    : undefined;
}

/** A condition of a filter in words, and the filter without it. */
export interface AuditChip {
  readonly field: string;
  readonly value: string;
  readonly without: AuditFilter;
}

/** The conditions of a filter but its text; those that a saved view stands for are left out. `jobName` is a job's name, if it is known. */
export function auditChips(place: AuditPlace, jobName: (id: string) => string | undefined, nowMs: number): AuditChip[] {
  const { filter } = place;
  const view = viewOf(place);
  const chips: AuditChip[] = [];
  const chip = (field: string, value: string, change: (filter: AuditFilter) => void) => {
    const without = clone(AuditFilterSchema, filter);
    change(without);
    chips.push({ field, value, without });
  };
  if (filter.jobId) chip("job", jobName(filter.jobId) ?? filter.jobId, (each) => (each.jobId = ""));
  if (filter.actor) chip("actor", filter.actor, (each) => (each.actor = ""));
  for (const kind of filter.actorKinds)
    chip(
      "by",
      actorKindNames[kind] ?? "",
      (each) => (each.actorKinds = each.actorKinds.filter((other) => other !== kind)),
    );
  if (view !== "sign-ins")
    for (const kind of filter.kinds)
      chip("kind", kindNames[kind] ?? "", (each) => (each.kinds = each.kinds.filter((other) => other !== kind)));
  if (view !== "refused" && filter.refused !== undefined)
    chip("refused", filter.refused ? "yes" : "no", (each) => delete each.refused);
  if (filter.fromUs > 0n) chip("since", clock(Number(filter.fromUs), nowMs), (each) => (each.fromUs = 0n));
  if (filter.untilUs > 0n) chip("until", clock(Number(filter.untilUs), nowMs), (each) => (each.untilUs = 0n));
  return chips;
}

/** The filter with one more condition, or without it if it was there. */
export function toggled(filter: AuditFilter, change: { kind: AuditKind } | { by: ActorKind }): AuditFilter {
  const next = clone(AuditFilterSchema, filter);
  if ("kind" in change) next.kinds = toggle(next.kinds, change.kind);
  else next.actorKinds = toggle(next.actorKinds, change.by);
  return next;
}

function toggle<T>(list: readonly T[], one: T): T[] {
  return list.includes(one) ? list.filter((each) => each !== one) : [...list, one];
}

/** The filter with some fields set. */
export function amended(
  filter: AuditFilter,
  change: Partial<Pick<AuditFilter, "jobId" | "actor" | "text" | "fromUs" | "untilUs">>,
): AuditFilter {
  return Object.assign(clone(AuditFilterSchema, filter), change);
}

/** The path of a row's job: its attempt, at the line where the command took effect, as far as that is known. */
export function jobHref({ jobId, attempt, atLine }: AuditRow): string {
  const query = new URLSearchParams();
  if (attempt > 0) query.set("attempt", String(attempt));
  if (attempt > 0 && atLine > 0n) query.set("line", String(atLine));
  const path = `/jobs/${encodeURIComponent(jobId)}`;
  return query.size > 0 ? `${path}?${query.toString()}` : path;
}

import { create } from "@bufbuild/protobuf";
import { AuditFilterSchema, AuditKind, type AuditFilter } from "./gen/signalbox/v1/audit_pb.ts";
import { ActorKind } from "./gen/signalbox/v1/job_pb.ts";

// A filter of the audit view as the parameters of an address: of the page, and of the export.

/** The words of an enum's values, without the one that means nothing: `give-up`. */
function wordsOf<T extends number>(values: Readonly<Record<string, T>>): ReadonlyMap<T, string> {
  const named = Object.entries(values).filter(([, number]) => number !== 0);
  return new Map(named.map(([name, number]) => [number, name.toLowerCase().replaceAll("_", "-")]));
}

const auditKinds = wordsOf<AuditKind>(AuditKind);
const actorKinds = wordsOf<ActorKind>(ActorKind);

/** The word of a kind of rows. */
function auditKindWord(kind: AuditKind): string {
  return auditKinds.get(kind) ?? "";
}

/** The word of a kind of actors. */
function actorKindWord(kind: ActorKind): string {
  return actorKinds.get(kind) ?? "";
}

/** The parameters that {@link readAuditFilter} reads. */
export const auditFilterNames: ReadonlySet<string> = new Set([
  "job",
  "actor",
  "by",
  "kind",
  "refused",
  "from",
  "until",
  "text",
]);

/**
 * Reads a filter: `job`, `actor`, `by` and `kind` (words, may be repeated), `refused` (`yes` or `no`), `from` and `until` (ISO 8601), `text`.
 * `wrong` names the parameters that make no sense, which are left out; others are not looked at.
 */
export function readAuditFilter(query: URLSearchParams): { filter: AuditFilter; wrong: string[] } {
  const wrong: string[] = [];
  const numbers = <T>(name: string, words: ReadonlyMap<T, string>): T[] =>
    query.getAll(name).flatMap((word) => {
      const found = [...words].filter(([, each]) => each === word).map(([number]) => number);
      if (found.length === 0) wrong.push(name);
      return found;
    });
  const time = (name: string) => {
    const text = query.get(name) ?? "";
    const ms = text === "" ? 0 : Date.parse(text);
    if (Number.isNaN(ms)) wrong.push(name);
    return BigInt(Number.isNaN(ms) ? 0 : ms) * 1000n;
  };
  const refused = query.get("refused");
  if (refused !== null && refused !== "yes" && refused !== "no") wrong.push("refused");
  const filter = create(AuditFilterSchema, {
    ...{ jobId: query.get("job") ?? "", actor: query.get("actor") ?? "", text: query.get("text") ?? "" },
    ...{ actorKinds: numbers("by", actorKinds), kinds: numbers("kind", auditKinds) },
    ...{ fromUs: time("from"), untilUs: time("until") },
    ...(refused === "yes" || refused === "no" ? { refused: refused === "yes" } : {}),
  });
  return { filter, wrong };
}

/** Writes a filter as {@link readAuditFilter} reads it; what lets everything through is left out. */
export function writeAuditFilter(filter: AuditFilter): URLSearchParams {
  const query = new URLSearchParams();
  const set = (name: string, value: string) => value && query.set(name, value);
  const iso = (us: bigint) => (us > 0n ? new Date(Number(us / 1000n)).toISOString() : "");
  set("job", filter.jobId);
  set("actor", filter.actor);
  for (const kind of filter.actorKinds) query.append("by", actorKindWord(kind));
  for (const kind of filter.kinds) query.append("kind", auditKindWord(kind));
  if (filter.refused !== undefined) query.set("refused", filter.refused ? "yes" : "no");
  set("from", iso(filter.fromUs));
  set("until", iso(filter.untilUs));
  set("text", filter.text);
  return query;
}

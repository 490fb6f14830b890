import { toJson } from "@bufbuild/protobuf";
import { LimitUseSchema, type Limit, type LimitUse } from "@signalbox/protocol";
import { exact, moment } from "@signalbox/protocol/format";
import { exitCodes, usageError } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { sanitise } from "../sanitise.ts";
import { tableLines, type Column } from "../table.ts";

/** What is limited: `type=index`, `label=team`, `label=team=payments`. */
type Limited = Pick<Limit, "type" | "labelKey" | "labelValue">;

/** Lists how many jobs may run at the same time; sets or lifts one of these limits first. */
export async function limits(
  invocation: Invocation,
  action: "list" | "set" | "lift",
  what: string | undefined,
  number: string | undefined,
): Promise<number> {
  const { out } = invocation;
  const request = action === "list" ? undefined : requestOf(action, what, number);
  if (!request && what !== undefined) throw usageError("'list' takes nothing more.");
  const room = await invocation.room();
  if (request?.lift) {
    const before = await room.call("Not lifted", () => room.jobs.listLimits({}));
    const known = before.limits.find(({ limit }) => limit && limitedWords(limit) === limitedWords(request.limit));
    // Those without an actor are declared by a worker: nobody has set them.
    if (!known?.limit?.actor) out.note(`Nothing was lifted: nobody has set a limit ${limitedWords(request.limit)}.`);
  }
  const { limits: uses } = request
    ? await room.call(action === "set" ? "Not set" : "Not lifted", () => room.jobs.setLimit(request))
    : await room.call("", () => room.jobs.listLimits({}));
  if (out.json) for (const use of uses) await out.object(toJson(LimitUseSchema, use));
  else if (uses.length === 0) out.note("No limits: as many jobs run as workers have slots.");
  else await out.line(tableLines(columns, uses, out.columns, (text) => out.paint("dim", text)).join("\n"));
  return exitCodes.ok;
}

function requestOf(action: "set" | "lift", what: string | undefined, number: string | undefined) {
  const limited = parseLimited(what);
  if (action === "lift") {
    if (number !== undefined) throw usageError("'lift' takes no number.");
    return { limit: { ...limited, mostRunning: 0 }, lift: true };
  }
  if (number === undefined || !/^\d{1,9}$/.test(number))
    throw usageError("'set' takes how many jobs may run at the same time, as in: limits set type=index 4");
  return { limit: { ...limited, mostRunning: Number(number) }, lift: false };
}

function parseLimited(what: string | undefined): Limited {
  const [, kind, name = "", value = ""] = /^(type|label)=([^=]+)(?:=(.*))?$/s.exec(what ?? "") ?? [];
  if (kind === "type" && value === "") return { type: name, labelKey: "", labelValue: "" };
  if (kind === "label") return { type: "", labelKey: name, labelValue: value };
  throw usageError(
    `'${what ?? ""}' says not what is limited.`,
    "Write type=NAME, label=KEY=VALUE, or label=KEY for each value of the label.",
  );
}

const columns: readonly Column<LimitUse>[] = [
  { title: "LIMIT", cell: ({ limit }) => sanitise(limitedWords(limit)), shrinkTo: 12 },
  { title: "MOST", cell: ({ limit }) => exact(limit?.mostRunning ?? 0), align: "right" },
  { title: "RUNNING", cell: ({ running }) => exact(running), align: "right" },
  { title: "WAITING", cell: ({ waiting }) => exact(waiting), align: "right" },
  { title: "SET BY", cell: ({ limit }) => sanitise(limit?.actor?.name ?? "its worker"), shrinkTo: 8 },
  { title: "AT", cell: ({ limit }) => (limit && limit.atUs > 0n ? moment(Number(limit.atUs)) : ""), shrinkTo: 10 },
];

/** As it is written on the command line. */
function limitedWords(limit: Limited | undefined): string {
  if (!limit) return "";
  if (limit.type !== "") return `type=${limit.type}`;
  return limit.labelValue === "" ? `label=${limit.labelKey}` : `label=${limit.labelKey}=${limit.labelValue}`;
}

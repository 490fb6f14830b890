import { create, toJson } from "@bufbuild/protobuf";
import {
  AuditRowSchema,
  AuditSubscriptionSchema,
  AuditVerdictSchema,
  readAuditFilter,
  ReceiptState,
  ReceiptStateSchema,
  type AuditFilter,
  type AuditRow,
  type AuditVerdict,
} from "@signalbox/protocol";
import { clock, exact, moment, plural } from "@signalbox/protocol/format";
import { parseDuration } from "../durations.ts";
import { exitCodes, usageError } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { enumWord } from "../json.ts";
import type { Output } from "../output.ts";
import { resolveJob } from "../resolve-job.ts";
import { sanitise } from "../sanitise.ts";
import { tableLines, type Column } from "../table.ts";
import { linkWords, watch, type Followed } from "../watch.ts";

export interface AuditOptions {
  readonly job?: string;
  readonly actor?: string;
  readonly by?: readonly string[];
  readonly kind?: readonly string[];
  readonly refused?: boolean;
  readonly text?: string;
  readonly since?: string;
  readonly until?: string;
  /** At most so many rows; 0: all. */
  readonly limit: number;
  readonly follow?: boolean;
  /** Nothing is cut to the width of the terminal. */
  readonly wide?: boolean;
}

/** Rows of one page. */
const pageSize = 1_000;
/** The first call after a start of the server reads all histories, milliseconds. */
const timeoutMs = 120_000;

/** Prints who did what, oldest first; with `follow` goes on as it happens. */
export async function audit(invocation: Invocation, options: AuditOptions): Promise<number> {
  const { out, signal } = invocation;
  const filter = await filterOf(invocation, options);
  const print = printer(out, options.wide ?? false);
  if (!options.follow) {
    const { rows, beginsAtUs } = await list(invocation, filter, options.limit);
    await print(rows.reverse());
    if (rows.length === 0) out.note("Nobody did anything that fits.");
    if (beginsAtUs > 0n) out.note(`The view begins at ${moment(Number(beginsAtUs))}; --job reads all of a job.`);
    return exitCodes.ok;
  }
  const room = await invocation.room();
  const value = create(AuditSubscriptionSchema, { filter });
  const followed: Followed = { id: "audit", kind: { case: "audit", value }, cursor: new Uint8Array() };
  /** Rows that were printed, with the outcome that they had, newest last. */
  const printed = new Map<string, ReceiptState>();
  const tell = async (rows: readonly AuditRow[]) => {
    const fresh = rows.filter((row) => printed.get(keyOf(row)) !== row.outcome);
    for (const row of fresh) printed.set(keyOf(row), row.outcome);
    for (const [oldest] of [...printed].slice(0, Math.max(0, printed.size - 10 * pageSize))) printed.delete(oldest);
    await print(fresh);
  };
  for await (const event of watch(room, [followed], signal)) {
    if (event.kind !== "message") out.note(linkWords(event));
    // What came to be while the link was away is in the list.
    else if (event.message.case === "caughtUp")
      await tell((await list(invocation, filter, options.limit)).rows.reverse());
    else if (event.message.case === "audit") await tell(event.message.value.rows);
  }
  return exitCodes.ok;
}

/** Checks all chains. The exit code is 0 if nothing is wrong. */
export async function verify(invocation: Invocation): Promise<number> {
  const { out, signal } = invocation;
  const room = await invocation.room();
  const verdict = await room.call("Not verified", async () => {
    for await (const step of room.audit.verifyAudit({}, { signal, timeoutMs: 0 })) {
      if (step.verdict) return step.verdict;
      const { topicsDone, topicsTotal, entriesDone } = step;
      out.status(
        `${exact(Number(topicsDone))} of ${exact(Number(topicsTotal))} topics, ${exact(Number(entriesDone))} entries`,
      );
    }
    return undefined;
  });
  out.status(undefined);
  if (!verdict) return exitCodes.failed;
  if (out.json) await out.object(toJson(AuditVerdictSchema, verdict));
  else await out.line(verdictLines(out, verdict).join("\n"));
  return verdict.intact ? exitCodes.ok : exitCodes.failed;
}

function verdictLines(out: Output, verdict: AuditVerdict): string[] {
  const anchored =
    verdict.anchors > 0n
      ? `${plural(Number(verdict.anchors), "anchor")} compared, the newest of ${moment(Number(verdict.anchoredAtUs))}.`
      : `${verdict.intact ? "There is no anchor yet" : "No anchor is left"}: ends that were cut off cannot be seen.`;
  const old =
    verdict.unchainedEntries > 0n
      ? [
          `${plural(Number(verdict.unchainedEntries), "entry of an older server is", "entries of older servers are")} not chained.`,
        ]
      : [];
  if (verdict.intact) return [`${out.paint("green", "Intact")}: every chain holds. ${anchored}`, ...old];
  return [
    `${out.paint(["red", "bold"], "Not intact")}: ${plural(verdict.faults.length, "topic was", "topics were")} changed.`,
    ...verdict.faults.map(
      ({ topic, position, words }) =>
        `  ${sanitise(topic)}${position > 0n ? ` at ${position}` : ""}: ${sanitise(words)}`,
    ),
    anchored,
    ...old,
  ];
}

async function list(
  invocation: Invocation,
  filter: AuditFilter,
  limit: number,
): Promise<{ rows: AuditRow[]; beginsAtUs: bigint }> {
  const room = await invocation.room();
  const rows: AuditRow[] = [];
  let pageToken = "";
  let beginsAtUs: bigint;
  do {
    const left = limit === 0 ? pageSize : Math.min(pageSize, limit - rows.length);
    const request = { filter, pageSize: left, pageToken };
    const page = await room.call("Not listed", () => room.audit.listAudit(request, { timeoutMs }));
    rows.push(...page.rows);
    ({ nextPageToken: pageToken, beginsAtUs } = page);
  } while (pageToken !== "" && (limit === 0 || rows.length < limit));
  return { rows, beginsAtUs };
}

async function filterOf(invocation: Invocation, options: AuditOptions): Promise<AuditFilter> {
  const query = new URLSearchParams();
  const { actor, text, refused, since, until } = options;
  if (options.job !== undefined) query.set("job", (await resolveJob(await invocation.room(), options.job)).job.id);
  if (actor !== undefined) query.set("actor", actor);
  if (text !== undefined) query.set("text", text);
  for (const word of options.by ?? []) query.append("by", word);
  for (const word of options.kind ?? []) query.append("kind", word);
  if (refused) query.set("refused", "yes");
  if (since !== undefined) query.set("from", timeOf(since));
  if (until !== undefined) query.set("until", timeOf(until));
  return readAuditFilter(query).filter;
}

/** A moment, from `10m`, which is so long ago, or from a time as `2026-11-21T18:00`. */
function timeOf(text: string): string {
  if (/^\d+(?:\.\d+)?[a-z]/.test(text)) return new Date(Date.now() - parseDuration(text)).toISOString();
  const ms = Date.parse(text);
  if (Number.isNaN(ms))
    throw usageError(`'${text}' is no time.`, "Write it as 10m or 2h, so long ago, or as 2026-11-21T18:00.");
  return new Date(ms).toISOString();
}

function printer(out: Output, wide: boolean): (rows: readonly AuditRow[]) => Promise<void> {
  let titled = false;
  return async (rows) => {
    if (out.json) for (const row of rows) await out.object(toJson(AuditRowSchema, row));
    if (out.json || rows.length === 0) return;
    const lines = tableLines(columns(out), rows, wide ? undefined : out.columns, (text) => out.paint("dim", text));
    await out.line(lines.slice(titled ? 1 : 0).join("\n"));
    titled = true;
  };
}

function columns(out: Output): Column<AuditRow>[] {
  return [
    { title: "WHEN", cell: ({ atUs }) => clock(Number(atUs), Date.now()) },
    { title: "WHO", cell: whoOf, shrinkTo: 12 },
    {
      title: "WHAT",
      cell: ({ words, repeated }) => sanitise(repeated > 0 ? `${words} (and ${repeated} more)` : words),
      shrinkTo: 16,
    },
    { title: "VALUES", cell: ({ values }) => sanitise(values), shrinkTo: 10 },
    { title: "JOB", cell: ({ jobId, jobName }) => sanitise(jobName || jobId), shrinkTo: 10 },
    {
      title: "OUTCOME",
      cell: outcomeOf,
      style: (text, { refused, outcome }) =>
        refused || outcome === ReceiptState.REJECTED ? out.paint("red", text) : text,
    },
    { title: "WHY", cell: ({ reason }) => sanitise(reason), shrinkTo: 10 },
  ];
}

function whoOf({ actor }: AuditRow): string {
  const name = actor?.name || "somebody";
  return sanitise(actor?.address ? `${name} ${actor.address}` : name);
}

function outcomeOf({ refused, outcome }: AuditRow): string {
  if (refused) return "refused";
  return outcome === ReceiptState.UNSPECIFIED ? "–" : enumWord(ReceiptStateSchema, outcome);
}

function keyOf({ topic, position }: AuditRow): string {
  return `${topic} ${position}`;
}

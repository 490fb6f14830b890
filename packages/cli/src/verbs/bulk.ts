import { create, toJson } from "@bufbuild/protobuf";
import { BulkOutcome, BulkOutcomeSchema, BulkRecordSchema, type BulkRecord } from "@signalbox/protocol";
import { clock, exact } from "@signalbox/protocol/format";
import { bulkStateWord, commandWords, doneOf, summaryWords } from "../bulk-words.ts";
import { CliError, exitCodes, usageError } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { enumWord } from "../json.ts";
import type { Output } from "../output.ts";
import type { Room } from "../room.ts";
import { sanitise } from "../sanitise.ts";
import { tableLines, type Column } from "../table.ts";

/** What can be done with commands to many. */
export type BulkAction = "list" | "show" | "undo" | "stop" | "release";

/** Lists commands to many, shows one with what became of each job, takes it back, stops it, or does not hold it any longer. */
export async function bulk(
  invocation: Invocation,
  action: BulkAction,
  ref: string | undefined,
  options: { readonly wide?: boolean },
): Promise<number> {
  const { out } = invocation;
  if (action !== "list" && ref === undefined)
    throw usageError(`Which of them is missing: signalbox bulk ${action} ID.`, "See them with: signalbox bulk");
  if (action === "list" && ref !== undefined)
    throw usageError("The list takes no id.", `Look at one: signalbox bulk show ${ref}`);
  const room = await invocation.room();
  const { bulks } = await room.call("", () => room.bulks.listBulks({}));
  if (action === "list" || ref === undefined) return list(out, bulks, options.wide ?? false);
  const bulkId = pick(bulks, ref).id;
  if (action !== "show") {
    const [notDone, { bulk: record }] = await act(room, action, bulkId);
    if (!record) throw new CliError(exitCodes.failed, `${notDone}: the server's answer is empty.`);
    if (out.json) await out.object(toJson(BulkRecordSchema, record));
    else if (action === "release") await out.line(`Not held any longer: jobs get their commands. (${bulkId})`);
    else await out.line(summaryWords(record));
    return exitCodes.ok;
  }
  const { bulk: record = create(BulkRecordSchema) } = await room.call("", () => room.bulks.getBulk({ bulkId }));
  if (out.json) {
    await out.object(toJson(BulkRecordSchema, record));
    return exitCodes.ok;
  }
  const [title = "", line = ""] = bulkTable(out, [record], true);
  await out.line(`${title}\n${line}`);
  for (const { jobId, outcome, reason } of record.results)
    await out.line(
      `  ${jobId}  ${enumWord(BulkOutcomeSchema, outcome)}${outcome === BulkOutcome.ACCEPTED ? "" : `: ${sanitise(reason)}`}`,
    );
  return exitCodes.ok;
}

async function act(room: Room, action: "undo" | "stop" | "release", bulkId: string) {
  const notDone = { undo: "Not undone", stop: "Not stopped", release: "Not released" }[action];
  const answer = await room.call(notDone, async () => {
    if (action === "undo") return room.bulks.undoBulk({ bulkId });
    return action === "stop" ? room.bulks.stopBulk({ bulkId }) : room.bulks.releaseBulk({ bulkId });
  });
  return [notDone, answer] as const;
}

async function list(out: Output, bulks: readonly BulkRecord[], wide: boolean): Promise<number> {
  if (out.json) for (const each of bulks) await out.object(toJson(BulkRecordSchema, each));
  else if (bulks.length === 0) out.note("No commands to many jobs in the last day.");
  else await out.line(bulkTable(out, bulks, wide).join("\n"));
  return exitCodes.ok;
}

function pick(bulks: readonly BulkRecord[], ref: string): BulkRecord {
  const fitting = bulks.filter(({ id }) => id.startsWith(ref) || id.startsWith(`b-${ref}`));
  const [only] = fitting;
  if (only && fitting.length === 1) return only;
  throw new CliError(
    exitCodes.notFound,
    only
      ? `${fitting.length} ids begin with '${sanitise(ref)}': give more of it.`
      : `Nothing has the id '${sanitise(ref)}'.`,
    "See them with: signalbox bulk",
  );
}

function bulkTable(out: Output, bulks: readonly BulkRecord[], wide: boolean): string[] {
  const nowMs = Date.now();
  const columns: Column<BulkRecord>[] = [
    { title: "ID", cell: ({ id }) => id },
    { title: "GIVEN", cell: ({ createdAtUs }) => clock(Number(createdAtUs), nowMs) },
    { title: "BY", cell: ({ actor }) => sanitise(actor?.name ?? ""), shrinkTo: 8 },
    {
      title: "WHAT",
      cell: ({ command }) => commandWords(command),
      shrinkTo: 12,
      style: (text) => out.paint("bold", text),
    },
    { title: "WHICH", cell: ({ selectionWords }) => sanitise(selectionWords), shrinkTo: 12 },
    { title: "STATE", cell: ({ state }) => bulkStateWord(state) },
    { title: "DONE", cell: (each) => `${exact(doneOf(each))} of ${exact(each.jobsTotal)}`, align: "right" },
    { title: "SKIPPED", cell: ({ skipped }) => exact(skipped), align: "right" },
    { title: "REFUSED", cell: ({ refused }) => exact(refused), align: "right" },
  ];
  return tableLines(columns, bulks, wide ? undefined : out.columns, (text) => out.paint("dim", text));
}

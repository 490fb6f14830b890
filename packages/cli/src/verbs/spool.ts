import { basename } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { AttemptEndSchema, EndOutcomeSchema } from "@signalbox/protocol";
import { bytes, duration, exact, plural, unknown } from "@signalbox/protocol/format";
import {
  damagedFiles,
  deliverFolder,
  leftWords,
  listSpools,
  NoLink,
  readSpool,
  removeFromSpool,
  spoolFolder,
  writeText,
  type DeliveredAttempt,
  type LeftAttempt,
  type LeftSpool,
} from "@signalbox/worker/spool";
import { CliError, exitCodes, usageError } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { enumWord } from "../json.ts";
import { sanitise } from "../sanitise.ts";
import { tableLines } from "../table.ts";

export type SpoolAction = "list" | "deliver" | "export" | "remove";

export interface SpoolVerbOptions {
  readonly all?: boolean;
  readonly dir?: string;
  readonly wide?: boolean;
}

/** What is left of one attempt, or a spool in which nothing is but segments that were set aside. */
interface Found {
  /** What it is called here: the beginning of its process's incarnation, and its number there. */
  readonly name: string;
  readonly spool: LeftSpool;
  readonly left: LeftAttempt | undefined;
  /** Segments that were set aside, or are to be, because they are damaged. */
  readonly damaged: readonly string[];
}

/** Looks after what the server does not have yet. */
export async function spool(
  invocation: Invocation,
  action: SpoolAction,
  names: readonly string[],
  options: SpoolVerbOptions,
): Promise<number> {
  const folder = options.dir ?? spoolFolder(invocation.env);
  const found = await find(folder);
  switch (action) {
    case "list":
      return list(invocation, wanted(found, names), options);
    case "deliver":
      return deliver(invocation, folder, names.length > 0 ? wanted(found, names) : found, options);
    case "export":
      return exportText(invocation, one(found, names, "export"));
    case "remove":
      return remove(invocation, one(found, names, "remove"));
  }
}

async function find(folder: string): Promise<Found[]> {
  try {
    return await findAll(folder);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(exitCodes.failed, `The spools in ${folder} cannot be read: ${reason}`, "", { cause: error });
  }
}

async function findAll(folder: string): Promise<Found[]> {
  const found: Found[] = [];
  for (const each of await listSpools(folder)) {
    const name = each.name.incarnation.slice(0, 8);
    const attempts = await readSpool(each.path);
    const damaged = await damagedFiles(each.path);
    for (const left of attempts) {
      const own = damaged.filter((path) => basename(path).startsWith(`${left.prefix}-`));
      found.push({ name: `${name}/${Number(left.prefix)}`, spool: each, left, damaged: [...own, ...left.damaged] });
    }
    const others = damaged.filter((path) => !attempts.some(({ prefix }) => basename(path).startsWith(`${prefix}-`)));
    if (others.length > 0) found.push({ name, spool: each, left: undefined, damaged: others });
  }
  return found;
}

function wanted(found: readonly Found[], names: readonly string[]): Found[] {
  for (const name of names)
    if (!found.some((each) => each.name.startsWith(name)))
      throw new CliError(exitCodes.notFound, `No spool begins with ${name}.`, "See signalbox spool.");
  return found.filter((each) => names.length === 0 || names.some((name) => each.name.startsWith(name)));
}

function one(found: readonly Found[], names: readonly string[], what: string): Found {
  const [name] = names;
  if (name === undefined || names.length > 1) throw usageError(`Name one spool to ${what}.`, "See signalbox spool.");
  const named = found.filter((each) => each.name === name);
  const fits = named.length > 0 ? named : wanted(found, names);
  const [first] = fits;
  if (!first || fits.length > 1)
    throw new CliError(
      exitCodes.notFound,
      `${plural(fits.length, "spool begins", "spools begin")} with ${name}.`,
      fits.map((each) => each.name).join("\n"),
    );
  return first;
}

async function list({ out }: Invocation, found: readonly Found[], options: SpoolVerbOptions): Promise<number> {
  if (out.json) for (const each of found) await out.object(jsonOf(each));
  else if (found.length === 0) out.note("Nothing is left: the server has everything.");
  else {
    const nowMs = Date.now();
    const lines = tableLines<Found>(
      [
        { title: "SPOOL", cell: ({ name }) => name, style: (text) => out.paint("bold", text) },
        {
          title: "OWNER",
          cell: ({ spool: { owner } }) => owner,
          style: (text, { spool: { owner } }) => out.paint(owner === "alive" ? "green" : "yellow", text),
        },
        { title: "JOB", cell: jobWords, shrinkTo: 12 },
        { title: "NAME", cell: ({ left }) => sanitise(left?.note?.name ?? unknown), shrinkTo: 8 },
        { title: "LINES", cell: ({ left }) => (left ? exact(keptLines(left)) : unknown), align: "right" },
        { title: "BYTES", cell: ({ left }) => (left ? bytes(left.bytes) : unknown), align: "right" },
        {
          title: "AGE",
          cell: ({ left }) => (left?.note ? duration(Math.max(0, nowMs - left.note.begunAtMs)) : unknown),
          align: "right",
        },
        { title: "ENDED", cell: ({ left }) => endWord(left) },
        { title: "DAMAGED", cell: ({ damaged }) => (damaged.length > 0 ? String(damaged.length) : ""), align: "right" },
        { title: "WORKER", cell: ({ spool: each }) => sanitise(each.name.workerId), shrinkTo: 8 },
      ],
      found,
      (options.wide ?? false) ? undefined : out.columns,
      (text) => out.paint("dim", text),
    );
    await out.line(lines.join("\n"));
  }
  return exitCodes.ok;
}

async function deliver(
  invocation: Invocation,
  folder: string,
  found: readonly Found[],
  { all = false }: SpoolVerbOptions,
): Promise<number> {
  const { out, options, env, signal } = invocation;
  const spools = [...new Set(found.filter(({ left }) => left).map((each) => each.spool))];
  const alive = spools.filter(({ owner }) => owner === "alive");
  const dead = spools.filter(({ owner }) => owner === "dead");
  if (alive.length > 0) out.note(`${plural(alive.length, "process", "processes")} that still runs delivers itself.`);
  if (dead.length === 0) {
    out.note("Nothing is left to deliver.");
    return exitCodes.ok;
  }
  const { findAddress } = await import("../address.ts");
  const address = await findAddress(options.url, env);
  let results: DeliveredAttempt[];
  try {
    results = await deliverFolder({
      folder,
      spools: dead,
      fromAnywhere: all,
      url: address.urls,
      token: await address.readToken(),
      signal,
      onNotice: (message) => out.status(message),
      onProgress: (left, ackedLine) =>
        out.status(`${nameOf(left)}: ${exact(ackedLine - left.ackedLine)} of ${exact(linesOf(left))} lines`),
    });
  } catch (error) {
    if (!(error instanceof NoLink)) throw error;
    throw new CliError(exitCodes.noServer, `Not delivered: ${error.message}`, "It is kept.", { cause: error });
  }
  out.status(undefined);
  for (const each of results) {
    const { left, delivered, reason } = each;
    if (out.json)
      await out.object({
        ...jobOf(left),
        lines: linesOf(left),
        lost: left.lostLines,
        dropped: left.droppedLines,
        delivered,
        reason,
      });
    else await out.line(resultWords(each));
    if (left.damaged.length > 0)
      out.error(
        `${nameOf(left)}: ${plural(left.damaged.length, "damaged file is", "damaged files are")} kept: see signalbox spool.`,
      );
  }
  const others = found.filter(({ left, spool: each }) => left && each.owner === "dead").length - results.length;
  if (others > 0)
    out.note(
      `${plural(others, "is", "are")} not for this server, or not known to any: see signalbox spool, and --all.`,
    );
  if (results.some(({ delivered, left }) => delivered === "refused" || isLossy(left))) return exitCodes.failed;
  return results.some(({ delivered }) => delivered === "waiting") ? exitCodes.pending : exitCodes.ok;
}

async function exportText({ out }: Invocation, { left, damaged, name }: Found): Promise<number> {
  if (!left) throw new CliError(exitCodes.failed, `Of ${name} only damaged segments are left.`, damaged.join("\n"));
  const missing = await writeText(left, (part) => out.write(part));
  for (const { firstLine, lineCount } of missing)
    out.error(`lines ${exact(firstLine)} to ${exact(firstLine + lineCount - 1)} are missing`);
  return exitCodes.ok;
}

async function remove({ out }: Invocation, { spool: each, name, left, damaged }: Found): Promise<number> {
  if (each.owner === "alive")
    throw new CliError(exitCodes.failed, `Not removed: the process of ${name} runs.`, "Stop it first.");
  if (!(await removeFromSpool(each, { prefix: left?.prefix, files: damaged })))
    throw new CliError(exitCodes.failed, `Not removed: another process has taken ${name} to deliver it.`, "");
  out.note(`${name}: what ${sanitise(each.name.workerId)} left of ${sanitise(left?.note?.name ?? "it")} is removed.`);
  return exitCodes.ok;
}

function jsonOf({ name, spool: each, left, damaged }: Found): object {
  return {
    spool: name,
    workerId: each.name.workerId,
    incarnation: each.name.incarnation,
    owner: each.owner,
    ...(left ? { ...jobOf(left), lines: linesOf(left), bytes: left.bytes, ended: endWord(left) } : {}),
    ...(left?.note ? { begunAt: new Date(left.note.begunAtMs).toISOString() } : {}),
    damaged,
  };
}

function jobOf({ note }: LeftAttempt): { jobId: string; attempt: number; name: string } {
  return { jobId: note?.jobId ?? "", attempt: note?.attempt ?? 0, name: note?.name ?? "" };
}

function jobWords({ left }: Found): string {
  if (!left) return "only damaged files are left";
  if (!left.note) return "cannot be read";
  return left.note.jobId === "" ? "never known to the server" : sanitise(`${left.note.jobId}/${left.note.attempt}`);
}

function nameOf({ note, prefix }: LeftAttempt): string {
  return sanitise(note?.jobId ? `${note.jobId}/${note.attempt}` : (note?.name ?? prefix));
}

function endWord(left: LeftAttempt | undefined): string {
  if (!left?.note?.end) return "";
  return enumWord(EndOutcomeSchema, fromBinary(AttemptEndSchema, Buffer.from(left.note.end, "base64")).outcome);
}

function isLossy({ lostLines, isEndDamaged }: LeftAttempt): boolean {
  return lostLines > 0 || isEndDamaged;
}

function linesOf({ nextLine, ackedLine }: LeftAttempt): number {
  return nextLine - ackedLine;
}

function keptLines(left: LeftAttempt): number {
  return linesOf(left) - left.lostLines - left.droppedLines;
}

function resultWords({ left, delivered, reason }: DeliveredAttempt): string {
  const lines = leftWords(left);
  if (delivered === "delivered") return `${nameOf(left)}: delivered, ${lines}`;
  return delivered === "refused"
    ? `${nameOf(left)}: not taken, ${lines}: ${sanitise(reason)}`
    : `${nameOf(left)}: not delivered yet, ${lines}`;
}

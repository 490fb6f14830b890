import { lstat, readdir, readFile, rename, rm, rmdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { AttemptEndSchema } from "@signalbox/protocol";
import type { LineRun } from "../unacked-lines.ts";
import { AttemptFiles, readSegmentName, setAside, type Segment } from "./attempt-files.ts";
import { folderName, NOBODY, ownerState, ownToken, readFolderName, type OwnerState, type SpoolName } from "./owners.ts";
import { scanRecords, seedOf } from "./records.ts";
import { corruptGap, isLost, lastLineOf, runsOf } from "./segment-runs.ts";
import { decodeNote, encodeNote, type SpoolNote } from "./spool-note.ts";

/** An owner that cannot be asked whether it lives is gone when its folder was not touched for so long, milliseconds. */
const goneAfterMs = 60_000;

/** What a process left, or still has, in a folder of spools. */
export interface LeftSpool {
  readonly path: string;
  readonly name: SpoolName;
  readonly owner: Exclude<OwnerState, "elsewhere">;
}

/** What is left of one attempt. */
export interface LeftAttempt {
  /** Names its files. */
  readonly prefix: string;
  readonly folder: string;
  /** Undefined: it cannot be read any more. */
  readonly note: SpoolNote | undefined;
  readonly segments: Segment[];
  /** All lines below this number were acknowledged, as far as it was noted. */
  readonly ackedLine: number;
  /** The number after the last line. */
  readonly nextLine: number;
  readonly bytes: number;
  /** Segments that are damaged. */
  readonly damaged: readonly string[];
  /** How many of the lines that are not acknowledged are lost in them. */
  readonly lostLines: number;
  /** How many of them its process had dropped, because the spool was full. */
  readonly droppedLines: number;
  /** Its last bytes are no records, and nothing says which lines they were: some behind `nextLine` may be missing. */
  readonly isEndDamaged: boolean;
}

/** The spools in a folder; none if there is no such folder. Rejects if it cannot be read. */
export async function listSpools(folder: string): Promise<LeftSpool[]> {
  const spools: LeftSpool[] = [];
  const own = ownToken();
  for (const entry of await namesIn(folder)) {
    const name = readFolderName(entry);
    if (!name) continue;
    const path = join(folder, entry);
    spools.push({ path, name, owner: name.owner === own ? "alive" : await stateOf(name.owner, path) });
  }
  return spools;
}

/**
 * Makes a spool whose owner is gone this process's own. Returns where it is then; undefined: somebody else was first, or its owner
 * lives.
 */
export async function claimSpool({ path, name, owner }: LeftSpool): Promise<string | undefined> {
  if (owner === "alive") return undefined;
  const claimed = join(path, "..", folderName({ ...name, owner: ownToken() }));
  try {
    await rename(path, claimed);
    return claimed;
  } catch {
    return undefined;
  }
}

/** Gives a claimed spool back: removes it if nothing is left in it, else leaves it to others. */
export async function releaseSpool(path: string, name: SpoolName): Promise<void> {
  try {
    await rmdir(path);
  } catch {
    await rename(path, join(path, "..", folderName({ ...name, owner: NOBODY }))).catch(() => undefined);
  }
}

/** What a spool holds of each attempt, by their order. Reads and checks everything. */
export async function readSpool(path: string): Promise<LeftAttempt[]> {
  const files = new Map<string, { name: string; number: number }[]>();
  const foreign = new Set(await foreignIn(path));
  for (const name of await namesIn(path)) {
    const segment = readSegmentName(name);
    if (!segment || foreign.has(name)) continue;
    const list = files.get(segment.prefix) ?? [];
    list.push({ name, number: segment.number });
    files.set(segment.prefix, list);
  }
  const attempts: LeftAttempt[] = [];
  for (const [prefix, names] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    names.sort((a, b) => a.number - b.number);
    attempts.push(
      await readAttempt(
        path,
        prefix,
        names.map(({ name }) => name),
      ),
    );
  }
  return attempts;
}

/** The files of a claimed attempt, to be delivered. Damaged segments get a second name, under which they stay, if it `keepsAside`. */
export async function openAttempt(
  left: LeftAttempt,
  onDamage: (path: string) => void,
  { keepsAside = true }: { keepsAside?: boolean } = {},
): Promise<AttemptFiles> {
  for (const path of left.damaged) {
    await setAside(path);
    onDamage(path);
  }
  const { note } = left;
  return new AttemptFiles({
    folder: () => Promise.resolve(left.folder),
    prefix: left.prefix,
    seed: seedIn(left.folder),
    note: () => (note ? encodeNote(note) : new Uint8Array()),
    segments: left.segments,
    keepsAside,
    // All of them are known.
    onDamage: () => undefined,
  });
}

/** Files that were set aside because they are damaged, and what has the name of a segment and is no file. */
export async function damagedFiles(path: string): Promise<string[]> {
  const aside = (await namesIn(path)).filter((name) => name.endsWith(".damaged"));
  return [...aside, ...(await foreignIn(path))].map((name) => join(path, name));
}

/**
 * Removes what is left of one attempt, or files that were set aside, and the spool when nothing else is in it. Returns false if somebody
 * else has the spool. Rejects if a file cannot be removed.
 */
export async function removeFromSpool(
  spool: LeftSpool,
  { prefix, files }: { prefix?: string | undefined; files: readonly string[] },
): Promise<boolean> {
  const path = await claimSpool(spool);
  if (path === undefined) return false;
  try {
    const own = (await namesIn(path)).filter((name) => prefix !== undefined && name.startsWith(`${prefix}-`));
    for (const name of [...own, ...files.map((file) => basename(file))])
      await rm(join(path, name), { force: true, recursive: true });
  } finally {
    await releaseSpool(path, spool.name);
  }
  return true;
}

async function readAttempt(folder: string, prefix: string, names: readonly string[]): Promise<LeftAttempt> {
  const seed = seedIn(folder);
  const segments: Segment[] = [];
  const damaged: string[] = [];
  const lost: LineRun[] = [];
  const dropped: LineRun[] = [];
  let note: SpoolNote | undefined;
  let ackedLine = 0;
  let writtenLine = 0;
  let isEndDamaged = false;
  for (const name of names) {
    const path = join(folder, name);
    const bytes = await readIfThere(path);
    // An owner that lives frees what is stored meanwhile.
    if (!bytes) continue;
    const scan = scanRecords(bytes, seed);
    let firstLine: number | undefined;
    isEndDamaged = scan.isEndDamaged;
    for (const { head, payload } of scan.records) {
      if (head.kind !== "ack") firstLine ??= head.firstLine;
      // All lines before it had been written.
      if (head.kind === "note") writtenLine = Math.max(writtenLine, head.firstLine);
      if (!payload) continue;
      if (head.kind === "note") note = decodeNote(payload) ?? note;
      else if (head.kind === "ack") ackedLine = Math.max(ackedLine, head.firstLine);
    }
    const before = segments.at(-1);
    const from = firstLine ?? before?.nextLine ?? 1;
    // Numbers between two segments are lost: the older one has them as a gap.
    if (before && from > before.nextLine) {
      lost.push(corruptGap(before.nextLine, from));
      before.nextLine = from;
      if (!damaged.includes(before.path)) damaged.push(before.path);
    }
    if (scan.isDamaged) damaged.push(path);
    const nextLine = Math.max(from, lastLineOf(scan) ?? from);
    for (const run of runsOf(scan, { firstLine: from, nextLine }))
      if (run.kind === "gap") (isLost(run) ? lost : dropped).push(run);
    segments.push({ path, firstLine: from, nextLine, bytes: bytes.length, mayHoldDebug: true, isDropped: false });
  }
  const last = segments.at(-1);
  const endLine = endLineOf(note);
  // What an end or another record behind them knows of, and no record holds, is lost.
  if (last && Math.max(writtenLine, endLine) > last.nextLine) {
    lost.push(corruptGap(last.nextLine, Math.max(writtenLine, endLine)));
    last.nextLine = Math.max(writtenLine, endLine);
    if (!damaged.includes(last.path)) damaged.push(last.path);
  }
  const first = segments[0]?.firstLine ?? 1;
  const acked = Math.max(ackedLine, first);
  return {
    prefix,
    folder,
    note,
    segments,
    ackedLine: acked,
    nextLine: Math.max(acked, last?.nextLine ?? first),
    bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
    damaged,
    lostLines: linesFrom(acked, lost),
    droppedLines: linesFrom(acked, dropped),
    isEndDamaged: isEndDamaged && endLine === 0,
  };
}

/** How many lines of the runs are not below `line`. */
function linesFrom(line: number, runs: readonly LineRun[]): number {
  return runs.reduce(
    (sum, { firstLine, lineCount }) => sum + Math.max(0, firstLine + lineCount - Math.max(firstLine, line)),
    0,
  );
}

/** The number after the attempt's last line; 0: its end is not known. */
function endLineOf(note: SpoolNote | undefined): number {
  if (!note || note.end === "") return 0;
  try {
    return Number(fromBinary(AttemptEndSchema, Buffer.from(note.end, "base64")).endLine);
  } catch {
    return 0;
  }
}

function seedIn(folder: string): number {
  return seedOf(readFolderName(basename(folder))?.incarnation ?? "");
}

async function stateOf(owner: string, path: string): Promise<LeftSpool["owner"]> {
  const state = ownerState(owner);
  if (state !== "elsewhere") return state;
  try {
    return Date.now() - (await stat(path)).mtimeMs > goneAfterMs ? "dead" : "alive";
  } catch {
    // It has just been taken over.
    return "alive";
  }
}

/** The bytes of a file; undefined: it is not there any more. */
async function readIfThere(path: string): Promise<Buffer<ArrayBuffer> | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Names of segments that are folders, links, pipes and the like: a process writes none, and to read a pipe can take for ever. */
async function foreignIn(folder: string): Promise<string[]> {
  const named = (await namesIn(folder)).filter((name) => readSegmentName(name));
  const files = await Promise.all(named.map((name) => isFile(join(folder, name))));
  return named.filter((_, i) => files[i] === false);
}

/** Whether it is a file; undefined: it is not there any more. */
async function isFile(path: string): Promise<boolean | undefined> {
  try {
    return (await lstat(path)).isFile();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** Names in a folder; none if it is not there. Rejects if it cannot be read. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

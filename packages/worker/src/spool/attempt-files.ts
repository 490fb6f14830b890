import { link, open, readFile, rename, rm, writeFile, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { LineRun } from "../unacked-lines.ts";
import { encodeHead, scanRecords } from "./records.ts";
import { encodeRun, isLost, runsOf } from "./segment-runs.ts";

/** A segment takes no more when it has so many bytes, or a 16th of what the spool may hold. */
export const SEGMENT_BYTES = 1024 * 1024;

/** One file of an attempt's spool: consecutive lines. */
export interface Segment {
  readonly path: string;
  firstLine: number;
  /** The number after its last line. */
  nextLine: number;
  /** Bytes that are whole records. */
  bytes: number;
  /** It may hold lines of the levels DEBUG and TRACE. */
  mayHoldDebug: boolean;
  /** It holds nothing but one gap, which a policy has made. */
  isDropped: boolean;
}

/** Where in the files the lines go on. */
export interface FilePosition {
  readonly segment: Segment;
  readonly offset: number;
}

/** Lines to be written. */
export interface Batch {
  readonly runs: readonly LineRun[];
  /** Some of them have the level DEBUG or TRACE. */
  readonly hasDebug: boolean;
}

/** What the files of an attempt begin with. */
export interface AttemptFilesOptions {
  /** The folder, which is made at the first write. Rejects if it cannot be. */
  readonly folder: () => Promise<string>;
  /** File names begin with it. */
  readonly prefix: string;
  /** Of the checksums, see `seedOf`. */
  readonly seed: number;
  /** What is said of the attempt, at the head of each segment. */
  readonly note: () => Uint8Array;
  /** Those that are there, oldest first. Nothing is written behind them, but into a new one. */
  readonly segments?: Segment[];
  readonly segmentBytes?: number;
  /** Damaged segments get a second name, under which they stay. Default: yes. */
  readonly keepsAside?: boolean;
  /** The folder is not there any more: it has to be made again. */
  readonly onFolderGone?: () => void;
  /** A segment is damaged. */
  readonly onDamage: (segment: Segment) => void;
}

/**
 * The spool files of one attempt: segments of records, appended to at the end and removed at the front. Reads, and changes of what has
 * been written, come one after the other. No method may be called again while `write` is at work but `read` and `free`.
 */
export class AttemptFiles {
  readonly #options: AttemptFilesOptions;
  /** What is said of the attempt instead. */
  #otherNote: Uint8Array | undefined;
  /** A segment takes no more when it has so many bytes. */
  readonly segmentBytes: number;
  readonly #segments: Segment[];
  #number: number;
  /** The segment that is written into, and its file. */
  #current: { segment: Segment; file: FileHandle } | undefined;
  /** The file that is written into has no name any more. */
  #isGone = false;
  #ackedLine = 0;
  #notedAck = 0;
  #isSynced = true;
  #serial: Promise<unknown> = Promise.resolve();

  constructor(options: AttemptFilesOptions) {
    this.#options = options;
    this.segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.#segments = options.segments ?? [];
    this.#number = this.#segments.length === 0 ? 0 : numberOf(this.#segments.at(-1)?.path ?? "");
  }

  /** Oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Bytes of all segments. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Writes runs behind what is there. Returns where they begin. They are with the system then, so that they outlive the process; the disk
   * has them after `sync`. Rejects if they could not be written: then none of them is there.
   */
  async write({ runs, hasDebug }: Batch): Promise<FilePosition> {
    const [first] = runs;
    const last = runs.at(-1);
    if (!first || !last) throw new RangeError("a batch has runs");
    const current = await this.#room(first.firstLine);
    const { segment } = current;
    const offset = segment.bytes;
    const { seed } = this.#options;
    const parts = runs.flatMap((run) => encodeRun(run, seed));
    if (this.#ackedLine > this.#notedAck) parts.push(encodeHead("ack", ackOf(this.#ackedLine), nothing, seed));
    await this.#append(current, parts);
    this.#notedAck = this.#ackedLine;
    segment.nextLine = last.firstLine + last.lineCount;
    segment.mayHoldDebug ||= hasDebug;
    return { segment, offset };
  }

  /** Something else is to be said of the attempt, by `note` and at the head of each segment from now on. */
  noteIs(note: Uint8Array): void {
    this.#otherNote = note;
  }

  /** Says something new of the attempt, for whoever finds the files. Like `write`; nothing if there are no files: they will begin with it. */
  async note(): Promise<void> {
    const current = this.#current;
    if (current) await this.#append(current, this.#noteParts(current.segment.nextLine));
  }

  /**
   * Reads what is written from `position` to the end of its segment, but no line below `firstLine`; `end` is the offset up to which it is
   * read. Lines that are lost are a gap.
   */
  async read(position: FilePosition, firstLine: number): Promise<{ runs: LineRun[]; end: number }> {
    return this.#inTurn(async () => {
      const { segment, offset } = position;
      const { bytes, nextLine } = segment;
      const scan = scanRecords(await readPart(segment.path, offset, bytes), this.#options.seed);
      const runs = runsOf(scan, { firstLine, nextLine });
      if (scan.isDamaged || runs.some(isLost)) await this.#setAside(segment);
      return { runs, end: bytes };
    });
  }

  /** The position behind the first `end` bytes of a segment; undefined: nothing is there yet. */
  behind(segment: Segment, end: number): FilePosition | undefined {
    if (end < segment.bytes) return { segment, offset: end };
    const next = this.#segments[this.#segments.indexOf(segment) + 1];
    return next && { segment: next, offset: 0 };
  }

  /** All lines below `line` are stored elsewhere: segments that hold nothing else are removed. Rejects if a file cannot be removed. */
  async free(line: number): Promise<void> {
    this.#ackedLine = Math.max(this.#ackedLine, line);
    for (;;) {
      const [oldest] = this.#segments;
      if (!oldest || oldest.nextLine > line || oldest === this.#current?.segment) return;
      this.#segments.shift();
      await this.#inTurn(() => rm(oldest.path, { force: true }));
    }
  }

  /** Writes other lines in the place of those of a segment that is not written into, at once or not at all. */
  async replace(segment: Segment, runs: readonly LineRun[]): Promise<void> {
    await this.#inTurn(async () => {
      const { seed } = this.#options;
      const parts = [...this.#noteParts(segment.firstLine), ...runs.flatMap((run) => encodeRun(run, seed))];
      const draft = `${segment.path}.new`;
      await writeFile(draft, Buffer.concat(parts), { mode: 0o600 });
      await rename(draft, segment.path);
      segment.bytes = parts.reduce((sum, part) => sum + part.length, 0);
    });
  }

  /** Removes a segment whose lines another one has taken over. */
  async drop(segment: Segment): Promise<void> {
    this.#segments.splice(this.#segments.indexOf(segment), 1);
    await this.#inTurn(() => rm(segment.path, { force: true }));
  }

  /** Whether the newest segment is still written into. */
  isOpen(segment: Segment): boolean {
    return segment === this.#current?.segment;
  }

  /** What was written is with the disk, and outlives the machine. */
  async sync(): Promise<void> {
    if (this.#isSynced) return;
    this.#isSynced = true;
    const current = this.#current;
    await current?.file.datasync();
    // Somebody has removed it: what follows goes where it can be found again.
    if (current && this.#current === current) this.#isGone = (await current.file.stat()).nlink === 0;
  }

  /** Nothing that is written is needed any more: removes all, and begins anew at the next write. */
  async clear(): Promise<void> {
    await this.close();
    await this.#inTurn(async () => {
      for (const { path } of this.#segments.splice(0)) await rm(path, { force: true });
    });
    // What `free` took from the list before has its turn behind that.
    await this.#inTurn(() => Promise.resolve());
  }

  /** Writes no more. What is there stays. */
  async close(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    await current?.file.close();
  }

  async #room(firstLine: number): Promise<{ segment: Segment; file: FileHandle }> {
    if (this.#current && !this.#isGone && this.#current.segment.bytes < this.segmentBytes) return this.#current;
    await this.close();
    const folder = await this.#options.folder();
    const path = join(folder, segmentName(this.#options.prefix, ++this.#number));
    const file = await open(path, "wx", 0o600).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") this.#options.onFolderGone?.();
      throw error;
    });
    const segment = { path, firstLine, nextLine: firstLine, bytes: 0, mayHoldDebug: false, isDropped: false };
    const current = { segment, file };
    try {
      await this.#append(current, this.#noteParts(firstLine));
    } catch (error) {
      await file.close();
      await rm(path, { force: true });
      throw error;
    }
    this.#current = current;
    this.#isGone = false;
    this.#segments.push(segment);
    return current;
  }

  async #append({ segment, file }: { segment: Segment; file: FileHandle }, parts: Uint8Array[]): Promise<void> {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    this.#isSynced = false;
    try {
      const { bytesWritten } = await file.writev(parts, segment.bytes);
      // A disk that is full takes a part, and says why with the rest.
      if (bytesWritten < bytes)
        await writeAll(file, Buffer.concat(parts).subarray(bytesWritten), segment.bytes + bytesWritten);
    } catch (error) {
      // What was written in part shall not be taken for damage.
      await file.truncate(segment.bytes).catch(() => undefined);
      throw error;
    }
    segment.bytes += bytes;
  }

  #noteParts(firstLine: number): [Buffer<ArrayBuffer>, Uint8Array] {
    const note = this.#otherNote ?? this.#options.note();
    return [encodeHead("note", { firstLine, lineCount: 0 }, note, this.#options.seed), note];
  }

  /** Keeps a copy of a damaged segment for people, since the segment itself will be removed. */
  async #setAside(segment: Segment): Promise<void> {
    if (this.#options.keepsAside === false) return;
    await setAside(segment.path);
    this.#options.onDamage(segment);
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#serial.then(act);
    this.#serial = turn.catch(() => undefined);
    return turn;
  }
}

const nothing = new Uint8Array();
const ending = ".spool";

/** The name of an attempt's segment. */
function segmentName(prefix: string, number: number): string {
  return `${prefix}-${String(number).padStart(8, "0")}${ending}`;
}

/** What a file name says: whose segment it is, and its number. Undefined: it is no segment's. */
export function readSegmentName(name: string): { prefix: string; number: number } | undefined {
  const match = /^(\d+)-(\d{8,})\.spool$/.exec(name);
  return match?.[1] && match[2] ? { prefix: match[1], number: Number(match[2]) } : undefined;
}

/** Gives a damaged segment a second name, under which it stays when its lines are delivered. */
export async function setAside(path: string): Promise<void> {
  await link(path, `${path.slice(0, -ending.length)}.damaged`).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
    if (bytesWritten === 0) throw new Error(`only ${at} of ${bytes.length} bytes could be written`);
    at += bytesWritten;
  }
}

function numberOf(path: string): number {
  return readSegmentName(path.slice(path.lastIndexOf("/") + 1))?.number ?? 0;
}

function ackOf(line: number): { firstLine: number; lineCount: number } {
  return { firstLine: line, lineCount: 0 };
}

async function readPart(path: string, offset: number, end: number): Promise<Buffer<ArrayBuffer>> {
  if (offset === 0) {
    const whole = await readFile(path);
    return whole.subarray(0, end);
  }
  const file = await open(path, "r");
  try {
    const buffer = Buffer.alloc(Math.max(0, end - offset));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

import { GapCause } from "@signalbox/protocol";
import { messageOf } from "../errors.ts";
import { LinesUnknown, UnackedLines, type ChunkRun, type GapRun, type LineRun } from "../unacked-lines.ts";
import type { AttemptFiles, FilePosition, Segment } from "./attempt-files.ts";
import { HEAD_BYTES } from "./records.ts";
import { corruptGap } from "./segment-runs.ts";
import type { WhenFull } from "./spool-config.ts";
import { withoutDebug } from "./without-debug.ts";

/** A write to the files has at most about so many bytes. */
const batchBytes = 512 * 1024;
/** Files that could not be written are not tried again before, milliseconds. */
const restMs = 1000;
/** When less than this is in memory and not on the wire, more is read from the files, bytes. */
const readBelowBytes = 512 * 1024;

/** What files hold when a queue begins. */
export interface HeldLines {
  /** The number after the newest line. */
  readonly nextLine: number;
  /** All lines below this number are acknowledged. */
  readonly ackedLine: number;
  /** Behind them others may be missing. */
  readonly isEndDamaged?: boolean;
}

/** What a queue stands on. */
export interface LineQueueOptions {
  /** Where lines are written before they are sent; undefined: they are in memory only. */
  readonly files?: AttemptFiles | undefined;
  /** Whether what is written may stay in memory, too, to be sent from there. */
  readonly mayKeep: () => boolean;
  /** Whether the files may grow. */
  readonly mayWrite: () => boolean;
  /** There may be something to send, or other numbers. */
  readonly changed: () => void;
  /** The files cannot be written: lines go on in memory. `undefined`: they can be written again. */
  readonly onTrouble: (reason: string | undefined) => void;
  /** Lines in the files cannot be read: they are lost. */
  readonly onUnreadable: (reason: string) => void;
  /** Why lines are dropped, for people. */
  readonly dropDetail: string;
  /** So many lines were dropped. */
  readonly onDropped: (lines: number) => void;
}

/**
 * What the server has not acknowledged, in order and without holes. New lines are written to the files, and only then given out to be
 * sent. What is sent soon stays in memory; the rest of a backlog is read from the files again when its turn comes. Where there are no
 * files, or they cannot be written, all is in memory.
 */
export class LineQueue {
  readonly #options: LineQueueOptions;
  readonly #files: AttemptFiles | undefined;
  /** The oldest lines: those on the wire, and those to be sent next. */
  readonly #memory = new UnackedLines();
  /** Lines in memory below this number may not be in the files, or not as they are in memory. */
  #inFilesFrom = 1;
  /** Behind them: what is in the files only. Undefined: nothing is. */
  #cold: FilePosition | undefined;
  #coldBytes = 0;
  /** Behind those: what is not in the files yet. */
  #unwritten: ChunkRun[] = [];
  #unwrittenBytes = 0;
  #nextLine: number;
  #ackedLine: number;
  #isWriting = false;
  #isReading = false;
  #isDropping = false;
  /** The files cannot be written. */
  #isBroken = false;
  #tryAtMs = 0;
  #noteDue = false;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  /** Begins with what the files hold, if they hold anything. */
  constructor(options: LineQueueOptions, held?: HeldLines) {
    this.#options = options;
    this.#files = options.files;
    this.#nextLine = held?.nextLine ?? 1;
    this.#ackedLine = held?.ackedLine ?? 1;
    const [first] = this.#files?.segments ?? [];
    if (!held || !first) return;
    this.#cold = { segment: first, offset: 0 };
    this.#coldBytes = this.#files?.bytes ?? 0;
    this.#memory.startAt(held.ackedLine);
    this.#acked(held.ackedLine);
  }

  /** The number after the newest line. */
  get nextLine(): number {
    return this.#nextLine;
  }

  /** All lines below this number are acknowledged. */
  get ackedLine(): number {
    return this.#ackedLine;
  }

  /** Whether all lines are acknowledged. */
  get isEmpty(): boolean {
    return this.#ackedLine === this.#nextLine;
  }

  /** Whether there are lines that the present stream has not had. */
  get hasUnsent(): boolean {
    return this.#memory.hasUnsent || this.#cold !== undefined || this.#unwritten.length > 0;
  }

  /** Bytes of chunks that are on the wire. */
  get inFlightBytes(): number {
    return this.#memory.inFlightBytes;
  }

  /** Bytes that are in memory and not in the files. */
  get waitingBytes(): number {
    return this.#unwrittenBytes + (this.#files && !this.#isBroken ? 0 : this.#memory.bytes);
  }

  /** Bytes that are in the files. */
  get spooledBytes(): number {
    return this.#coldBytes + (this.#files && !this.#isBroken ? this.#memoryInFiles : 0);
  }

  /** What is in memory takes so many bytes in the files. */
  get #memoryInFiles(): number {
    return this.#memory.bytes + this.#memory.count * HEAD_BYTES;
  }

  /** Bytes that are in the files and in memory, too. */
  get keptBytes(): number {
    return this.#files && !this.#isBroken ? this.#memory.bytes : 0;
  }

  /** Whether lines are written to files before they are sent. */
  get hasFiles(): boolean {
    return this.#files !== undefined;
  }

  /** Adds a chunk. */
  push(run: ChunkRun): void {
    this.#nextLine = run.firstLine + run.lineCount;
    if (!this.#files) {
      this.#memory.push(run);
      return;
    }
    this.#unwritten.push(run);
    this.#unwrittenBytes += run.bytes.length;
    this.#write();
  }

  /** A new stream begins; see {@link UnackedLines.resume}. Throws LinesUnknown. */
  resume(nextLine: number): number {
    this.#check(nextLine);
    const lost = this.#memory.resume(Math.min(nextLine, this.#memory.nextLine));
    if (lost > 0) {
      this.#ackedLine = nextLine;
      this.#inFilesFrom = Math.max(this.#inFilesFrom, nextLine + lost);
    }
    this.#acked(nextLine);
    return lost;
  }

  /** All lines below `nextLine` are on the server's disk. Returns whether that was news. Throws LinesUnknown. */
  ack(nextLine: number): boolean {
    this.#check(nextLine);
    if (nextLine <= this.#ackedLine) return false;
    this.#memory.ack(Math.min(nextLine, this.#memory.nextLine));
    this.#acked(nextLine);
    return true;
  }

  /** The next run to send, if `creditBytes` allow it; `changed` is called when there is one that had to be read. */
  take(creditBytes: number): LineRun | undefined {
    const run = this.#memory.take(creditBytes);
    this.#refill();
    return run ?? (this.#isBroken ? this.#memory.take(creditBytes) : undefined);
  }

  /** See {@link UnackedLines.refuse}. */
  refuse(reason: string): GapRun | undefined {
    const gap = this.#memory.refuse(reason);
    if (gap) this.#inFilesFrom = Math.max(this.#inFilesFrom, gap.firstLine + gap.lineCount);
    return gap;
  }

  /** What the files say of the attempt has changed. */
  note(): void {
    this.#noteDue = true;
    this.#write();
  }

  /** There may be room in the files, or they may be writable again. */
  tryAgain(): void {
    this.#write();
  }

  /** To be called about every second: what has waited goes to the disk; files that hold nothing any more are removed. */
  async tidy(): Promise<void> {
    const files = this.#files;
    if (!files || this.#isWriting || this.#isClosed) return;
    if (this.#isBroken) this.#write();
    else if (!this.isEmpty) await files.sync();
    else if (files.segments.length > 0) await this.#whileWriting(() => files.clear());
  }

  /**
   * Drops about `bytes`, oldest first: all lines, or those of the levels DEBUG and TRACE. A gap stands in their place. Resolves with how
   * many bytes were dropped.
   */
  async drop(bytes: number, whenFull: Exclude<WhenFull, "wait">): Promise<number> {
    const { dropDetail: detail, onDropped } = this.#options;
    const rewrite = (run: ChunkRun): readonly LineRun[] => {
      if (whenFull === "drop-oldest-debug") return run.hasDebug === false ? [run] : withoutDebug(run, detail);
      const { firstLine, lineCount } = run;
      return [{ kind: "gap", firstLine, lineCount, cause: GapCause.DROPPED_OLDEST, detail }];
    };
    const dropped =
      !this.#files || this.#isBroken
        ? this.#memory.rewriteUnsent(bytes, (run) => {
            const instead = rewrite(run);
            onDropped(linesIn(instead));
            return instead;
          })
        : await this.#dropFiles(this.#files, bytes, whenFull, rewrite);
    this.#options.changed();
    return dropped;
  }

  /** Resolves when what was pushed so far is in the files, as far as they can be written. */
  async flushed(): Promise<void> {
    while (this.#isWriting) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Lines are forgotten; their files are removed, too, unless `keepFiles`. Only the first call counts. */
  close({ keepFiles }: { keepFiles: boolean }): Promise<void> {
    this.#closing ??= this.#close(keepFiles);
    return this.#closing;
  }

  async #close(keepFiles: boolean): Promise<void> {
    if (keepFiles) await this.flushed();
    this.#isClosed = true;
    await this.flushed();
    this.#memory.clear();
    this.#unwritten = [];
    this.#unwrittenBytes = 0;
    this.#coldBytes = 0;
    this.#cold = undefined;
    this.#ackedLine = this.#nextLine;
    await (keepFiles ? this.#files?.close() : this.#files?.clear());
  }

  #check(nextLine: number): void {
    if (nextLine > this.#nextLine)
      throw new LinesUnknown(`the server has lines up to ${nextLine - 1}, this process made ${this.#nextLine - 1}`);
  }

  #acked(nextLine: number): void {
    this.#ackedLine = Math.max(this.#ackedLine, nextLine);
    if (nextLine > this.#memory.nextLine) this.#memory.startAt(nextLine);
    this.#skipAcked();
    // A file that cannot be removed is harmless: who reads it later hears that its lines are known.
    void this.#files?.free(this.#ackedLine).catch(() => undefined);
  }

  /** Lines that are only in the files may be acknowledged before they were read: another process has sent them. */
  #skipAcked(): void {
    const segments = this.#files?.segments ?? [];
    while (this.#cold && this.#cold.segment.nextLine <= this.#ackedLine) {
      const { segment, offset } = this.#cold;
      const next = segments[segments.indexOf(segment) + 1];
      this.#coldBytes -= segment.bytes - offset;
      this.#cold = next && { segment: next, offset: 0 };
    }
    if (!this.#cold) this.#coldBytes = 0;
  }

  #write(): void {
    const files = this.#files;
    if (!files || this.#isWriting || this.#isClosed) return;
    if (this.#isBroken && performance.now() < this.#tryAtMs) return;
    if (!this.#noteDue && (this.#unwritten.length === 0 || !this.#options.mayWrite())) return;
    void this.#whileWriting(() => this.#writeAll(files));
  }

  async #whileWriting(act: () => Promise<void>): Promise<void> {
    this.#isWriting = true;
    try {
      await act();
    } catch (error) {
      this.#broke(error);
    } finally {
      this.#isWriting = false;
    }
    if (!this.#isBroken) {
      this.#write();
      return;
    }
    this.#refill();
    this.#options.changed();
  }

  async #writeAll(files: AttemptFiles): Promise<void> {
    const most = Math.min(batchBytes, files.segmentBytes);
    while (!this.#isClosed) {
      if (this.#noteDue) {
        this.#noteDue = false;
        await files.note();
      }
      if (this.#unwritten.length === 0 || !this.#options.mayWrite()) return;
      const runs: ChunkRun[] = [];
      let bytes = 0;
      for (const run of this.#unwritten) {
        if (bytes + run.bytes.length > most && runs.length > 0) break;
        runs.push(run);
        bytes += run.bytes.length;
      }
      const position = await files.write({ runs, hasDebug: runs.some(({ hasDebug }) => hasDebug !== false) });
      this.#isWell();
      // Files that break while this is written give it to the memory.
      if (this.#unwritten[0] !== runs[0]) continue;
      this.#unwritten.splice(0, runs.length);
      this.#unwrittenBytes -= bytes;
      if (this.#cold || !(this.#memory.isEmpty || this.#options.mayKeep())) {
        this.#cold ??= position;
        this.#coldBytes += position.segment.bytes - position.offset;
      } else {
        for (const run of runs) this.#memory.push(run);
      }
      this.#options.changed();
    }
  }

  #isWell(): void {
    if (!this.#isBroken) return;
    this.#isBroken = false;
    this.#options.onTrouble(undefined);
  }

  #broke(error: unknown): void {
    if (this.#isClosed) return;
    const wasBroken = this.#isBroken;
    this.#isBroken = true;
    this.#tryAtMs = performance.now() + restMs;
    if (!wasBroken) this.#options.onTrouble(messageOf(error));
  }

  /** Sees that there is something to send in memory, if there is anything to send. */
  #refill(): void {
    if (this.#isClosed) return;
    if (this.#cold && this.#files) {
      if (!this.#isReading && !this.#isDropping && this.#isReadDue) void this.#read(this.#files, this.#cold);
    } else if (this.#isBroken && !this.#isWriting) {
      for (const run of this.#unwritten) this.#memory.push(run);
      this.#unwritten = [];
      this.#unwrittenBytes = 0;
      this.#inFilesFrom = this.#memory.nextLine;
    }
  }

  get #isReadDue(): boolean {
    return this.#memory.isEmpty || (this.#memory.unsentBytes < readBelowBytes && this.#options.mayKeep());
  }

  async #read(files: AttemptFiles, position: FilePosition): Promise<void> {
    this.#isReading = true;
    const { segment, offset } = position;
    const { runs, end } = await this.#readFrom(files, position, this.#memory.nextLine);
    this.#isReading = false;
    if (this.#isClosed) return;
    // While it was read the server may have said that it has it.
    if (this.#cold === position) {
      for (const run of runs) this.#give(run);
      this.#cold = files.behind(segment, end);
      this.#coldBytes = this.#cold ? Math.max(0, this.#coldBytes - (end - offset)) : 0;
    }
    this.#options.changed();
    this.#refill();
  }

  async #readFrom(files: AttemptFiles, position: FilePosition, from: number) {
    try {
      return await files.read(position, from);
    } catch (error) {
      const { bytes, nextLine } = position.segment;
      this.#options.onUnreadable(messageOf(error));
      return { runs: nextLine > from ? [corruptGap(from, nextLine, "its file cannot be read")] : [], end: bytes };
    }
  }

  /** Puts a run that was read behind those in memory. */
  #give(run: LineRun): void {
    if (run.firstLine + run.lineCount <= this.#ackedLine) return;
    if (this.#memory.isEmpty) this.#memory.continueAt(run.firstLine);
    this.#memory.push(run);
  }

  async #dropFiles(
    files: AttemptFiles,
    bytes: number,
    whenFull: WhenFull,
    rewrite: (run: ChunkRun) => readonly LineRun[],
  ): Promise<number> {
    if (this.#isReading || this.#isDropping) return 0;
    const isDroppable = (segment: Segment) =>
      !files.isOpen(segment) && (whenFull === "drop-oldest" ? !segment.isDropped : segment.mayHoldDebug);
    this.#leaveToFiles(files, isDroppable);
    if (!this.#cold) return 0;
    this.#isDropping = true;
    let saved = 0;
    try {
      const { segments } = files;
      const { segment: at, offset } = this.#cold;
      // Of the first one a part may be on the wire.
      const isWhole = offset === 0 && (this.#memory.isEmpty || at.firstLine >= this.#memory.nextLine);
      const first = isWhole ? at : segments[segments.indexOf(at) + 1];
      for (let segment = first; segment && saved < bytes && !files.isOpen(segment) && !this.#isClosed;) {
        const next: Segment | undefined = segments[segments.indexOf(segment) + 1];
        const bytesSaved = isDroppable(segment) ? await this.#dropSegment(files, segment, rewrite) : 0;
        this.#coldBytes = Math.max(0, this.#coldBytes - bytesSaved);
        saved += bytesSaved;
        segment = next;
      }
    } finally {
      this.#isDropping = false;
    }
    return saved;
  }

  /**
   * What is in memory to be sent next is the oldest: if there is something to drop in it, it is in the files only from now on, where it is
   * dropped, or read again when its turn comes.
   */
  #leaveToFiles(files: AttemptFiles, isDroppable: (segment: Segment) => boolean): void {
    // What is being written is about to be added to the one or the other.
    if (this.#isWriting) return;
    const line = this.#memory.firstUnsent(this.#inFilesFrom);
    if (line === undefined) return;
    const { segments } = files;
    const index = segments.findIndex((segment) => segment.firstLine <= line && line < segment.nextLine);
    const segment = segments[index];
    const end = this.#cold ? segments.indexOf(this.#cold.segment) + 1 : segments.length;
    if (!segment || !segments.slice(index, end).some((each) => each.firstLine >= line && isDroppable(each))) return;
    const before = this.#memoryInFiles;
    this.#memory.forgetUnsent(line);
    this.#cold = { segment, offset: 0 };
    this.#coldBytes += before - this.#memoryInFiles;
  }

  /** Returns how many bytes were saved. */
  async #dropSegment(
    files: AttemptFiles,
    segment: Segment,
    rewrite: (run: ChunkRun) => readonly LineRun[],
  ): Promise<number> {
    const { runs } = await files.read({ segment, offset: 0 }, segment.firstLine);
    const instead = joinGaps(runs.flatMap((run) => (run.kind === "chunk" ? rewrite(run) : [run])));
    segment.mayHoldDebug = false;
    if (instead.length === runs.length && instead.every((run, i) => run === runs[i])) return 0;
    const { bytes } = segment;
    const [first] = instead;
    const droppedLines = linesIn(instead) - linesIn(runs);
    const before = files.segments[files.segments.indexOf(segment) - 1];
    if (instead.length === 1 && first?.kind === "gap") {
      // One gap for all that goes: else a spool that is full for long would have a file for each.
      if (before?.isDropped && this.#cold?.segment !== segment) {
        await files.replace(before, [
          { ...first, firstLine: before.firstLine, lineCount: segment.nextLine - before.firstLine },
        ]);
        before.nextLine = segment.nextLine;
        await files.drop(segment);
        this.#options.onDropped(droppedLines);
        return bytes;
      }
      segment.isDropped = true;
    }
    await files.replace(segment, instead);
    this.#options.onDropped(droppedLines);
    return bytes - segment.bytes;
  }
}

/** Lines that gaps stand for. */
function linesIn(runs: readonly LineRun[]): number {
  return runs.reduce((sum, { kind, lineCount }) => sum + (kind === "gap" ? lineCount : 0), 0);
}

function joinGaps(runs: readonly LineRun[]): LineRun[] {
  const joined: LineRun[] = [];
  for (const run of runs) {
    const before = joined.at(-1);
    if (run.kind === "gap" && before?.kind === "gap" && before.cause === run.cause && before.detail === run.detail)
      joined[joined.length - 1] = { ...before, lineCount: before.lineCount + run.lineCount };
    else joined.push(run);
  }
  return joined;
}

import { ChunkBuilder, Level, type Source } from "@signalbox/protocol";
import { Bell } from "./bell.ts";
import type { Clock } from "./clock.ts";
import { boundFields, type Fields } from "./fields.ts";
import type { BudgetShare, Held, LineBudget } from "./line-budget.ts";
import { LineSplitter, PARTIAL_MS, type PieceCutter, type TakePiece } from "./line-splitter.ts";
import type { LineGuard } from "./redaction/line-guard.ts";
import { LineQueue, type HeldLines } from "./spool/line-queue.ts";
import type { WhenFull } from "./spool/spool-config.ts";
import type { SpoolNote } from "./spool/spool-note.ts";
import type { AttemptSpool } from "./spool/worker-spool.ts";
import type { GapRun, LineRun } from "./unacked-lines.ts";

/** A chunk is encoded when so many bytes wait. */
export const FLUSH_BYTES = 64 * 1024;
/** Lines wait for the acknowledgement of those before, but no longer than this, milliseconds. */
export const FLUSH_MS = 20;
/** The same while there is no link: then they wait to be written to the spool, milliseconds. */
export const SPOOL_FLUSH_MS = 100;

// Room for FLUSH_BYTES less one, a piece of 64 KiB, and the attributes of one line.
const builderBytes = 192 * 1024;
const scratchBytes = 16 * 1024;
// The two clocks drift apart slowly, so one is read for every line and the other now and then, milliseconds.
const wallEveryMs = 50;

/** What the log of an attempt stands on. */
export interface AttemptLogOptions {
  readonly budget: LineBudget;
  readonly clock: Clock;
  readonly onRoom: () => void;
  readonly guard?: LineGuard | undefined;
  /** Where lines are written before they are sent; undefined: they are in memory only. */
  readonly spool?: AttemptSpool | undefined;
  /** What another process has written into the spool, to go on behind it. */
  readonly held?: HeldLines | undefined;
  /** What becomes of lines when the budget is full. Default: whoever prints waits. */
  readonly whenFull?: WhenFull | undefined;
}

/**
 * The log of one attempt at the worker: splits what the job prints into numbered lines, encodes them, and keeps them until the server
 * has them on disk. Never blocks and never drops. Line numbers are dense and start at 1.
 *
 * Lines go at once if nothing is unacknowledged; else when the acknowledgement comes or 64 KiB wait, after 20 ms at most.
 */
export class AttemptLog {
  /** Rings when there may be something to send. */
  readonly ready = new Bell();
  /** Resolves when the log is closed and the server has every line. */
  readonly drained: Promise<void>;
  /** Lines with a level below this are dropped before they get a number. Bytes without a level always go. */
  lowestLevel: Level = Level.UNSPECIFIED;
  readonly #clock: Clock;
  readonly #share: BudgetShare;
  readonly #unacked: LineQueue;
  readonly #spool: AttemptSpool | undefined;
  readonly #budget: LineBudget;
  readonly #guard: LineGuard | undefined;
  readonly #splitters = new Map<Source, PieceCutter>();
  #resolveDrained: () => void = () => undefined;
  #builder: ChunkBuilder | undefined;
  #scratch: Buffer | undefined;
  /** Number of the first line in the builder. */
  #firstLine = 1;
  #level: Level = Level.UNSPECIFIED;
  #fields: Record<string, string> | undefined;
  /** Wall clock minus monotonic clock, microseconds. */
  #wallOffsetUs = 0;
  #wallReadAtMs = -Infinity;
  /** The builder has lines of the levels DEBUG and TRACE. */
  #hasDebug = false;
  #streaming = false;
  #flushDue = false;
  #flushTimer: NodeJS.Timeout | undefined;
  #flushImmediate: NodeJS.Immediate | undefined;
  #partialTimer: NodeJS.Timeout | undefined;
  #closed = false;
  #isReleased = false;

  /** `onRoom` is called when the worker's line budget is full no longer. `guard` masks secrets; undefined: there are none. */
  constructor({ budget, clock, onRoom, guard, spool, held, whenFull = "wait" }: AttemptLogOptions) {
    this.#clock = clock;
    this.#guard = guard;
    this.#spool = spool;
    this.#budget = budget;
    const unacked = new LineQueue(
      {
        files: spool?.files,
        mayKeep: () => budget.mayKeep,
        mayWrite: () => !budget.isSpoolFull || (this.#closed && budget.maySpoolLast),
        changed: () => this.#settle(),
        onTrouble: (reason) => spool?.trouble(reason),
        onUnreadable: (reason) => spool?.unreadable(reason),
        dropDetail: budget.dropDetail,
        onDropped: (lines) => spool?.dropped(lines),
      },
      held,
    );
    this.#firstLine = unacked.nextLine;
    this.#unacked = unacked;
    spool?.open(unacked);
    this.#share = budget.open(
      () => {
        unacked.tryAgain();
        onRoom();
      },
      whenFull === "wait" ? undefined : (bytes) => unacked.drop(bytes, whenFull),
    );
    this.drained = new Promise((resolve) => {
      this.#resolveDrained = resolve;
    });
  }

  /** The number that the next line will have. Bytes that wait for their newline have none yet. */
  get nextLine(): number {
    return this.#firstLine + (this.#builder?.count ?? 0);
  }

  /** Bytes that are not acknowledged. */
  get bytes(): number {
    const { waiting, spooled } = this.#held;
    return waiting + spooled;
  }

  /** All lines below this number are acknowledged. */
  get ackedLine(): number {
    return this.#unacked.ackedLine;
  }

  /** The worker holds all that it may: whoever prints into this log shall wait. */
  get isFull(): boolean {
    return this.#share.isFull() && !this.#closed;
  }

  /** The worker holds twice what it may, and this log its part or more: the job must end. */
  get isOver(): boolean {
    return this.#share.isOver();
  }

  /** What whoever prints waits for, for people. */
  get waitsFor(): string {
    return this.#budget.spoolLimitBytes > 0 ? "waiting for the log spool" : "waiting for the log to drain";
  }

  /** Whether there are lines that the server does not have. */
  get hasLines(): boolean {
    return !this.#unacked.isEmpty || (this.#builder?.count ?? 0) > 0;
  }

  /** No line will follow, and the server has them all. */
  get isDrained(): boolean {
    return this.#closed && !this.hasLines;
  }

  /** Takes raw bytes of a source, exactly as they are. */
  write(bytes: Uint8Array, source: Source): void {
    if (this.#closed || bytes.length === 0) return;
    this.#level = Level.UNSPECIFIED;
    this.#fields = undefined;
    const nowMs = this.#now();
    const splitter = this.#splitter(source);
    splitter.write(bytes, nowMs);
    if (splitter.expiresAtMs !== undefined) this.#armPartialTimer(PARTIAL_MS);
    this.#added();
  }

  /**
   * Writes `text` and a newline, as UTF-8. Newlines in it make more lines; fields stand on the first. Unfinished bytes of the same source
   * become a line of their own.
   */
  line(level: Level, text: string, fields: Fields | undefined, source: Source): void {
    if (this.#closed || level < this.lowestLevel) return;
    const nowMs = this.#now();
    const splitter = this.#splitter(source);
    this.#level = Level.UNSPECIFIED;
    this.#fields = undefined;
    splitter.startLine();
    this.#level = level;
    this.#fields = fields && boundFields(fields, this.#guard?.field);
    splitter.write(this.#encode(text), nowMs);
    // Nothing of a line waits for what may follow it.
    splitter.startLine();
    this.#added();
  }

  /** Cuts unfinished lines, so that what was printed before has its number, and returns the number that the next line will have. */
  mark(): number {
    this.#cutPartials((splitter) => splitter.cut());
    return this.nextLine;
  }

  /** No line will follow. */
  close(): void {
    if (this.#closed) return;
    this.#cutPartials((splitter) => splitter.startLine());
    this.#closed = true;
    clearTimeout(this.#partialTimer);
    // What waited for room in the spool need not any more.
    this.#flushNow();
    this.#unacked.tryAgain();
    this.ready.ring();
    this.#checkDrained();
  }

  /** No line will follow, and those not acknowledged are forgotten. `drained` never resolves unless it has. */
  discard(): void {
    this.#closed = true;
    clearTimeout(this.#partialTimer);
    this.stopStreaming();
    this.#builder = undefined;
    this.#share.close();
    this.#release({ keepFiles: false });
    this.ready.ring();
  }

  /** No line will follow, and nothing is sent any more. What the spool holds is left there, for others to deliver. */
  abandon(): void {
    this.close();
    this.#flush();
    this.stopStreaming();
    this.#share.close();
    this.#release({ keepFiles: true });
  }

  /** What the spool says of the attempt has changed. */
  describe(part: Partial<SpoolNote>): void {
    this.#spool?.describe(part);
    this.#unacked.note();
  }

  /** A stream is open and the server goes on at `nextLine`. Returns how many acknowledged lines it lost. Throws LinesUnknown. */
  startStreaming(nextLine: number): number {
    // The server may have lines that were encoded and never heard of again, but none that still wait here.
    const lost = this.#unacked.resume(nextLine);
    this.#streaming = true;
    this.#flushNow();
    this.#settle();
    this.ready.ring();
    return lost;
  }

  /** The stream is gone. */
  stopStreaming(): void {
    this.#streaming = false;
    this.#clearFlush();
  }

  /** All lines below `nextLine` are on disk. Returns whether that was news. Throws LinesUnknown. */
  ack(nextLine: number): boolean {
    if (!this.#unacked.ack(nextLine)) return false;
    this.#flushNow();
    this.#settle();
    this.ready.ring();
    return true;
  }

  /** What to send next, if anything is due and `creditBytes` allow it. */
  take(creditBytes: number): LineRun | undefined {
    const run = this.#unacked.take(creditBytes);
    if (run) return run;
    if (this.#unacked.hasUnsent || !this.#builder?.count) return undefined;
    if (this.#unacked.inFlightBytes >= creditBytes) return undefined;
    if (!this.#unacked.isEmpty && !this.#flushDue && !this.#closed) return undefined;
    this.#cutChunk();
    // With a spool it has to be written before.
    return this.#unacked.take(creditBytes);
  }

  /** The server refuses the newest chunk on the wire. Returns the gap that takes its place. For after a stream has failed. */
  refuse(reason: string): GapRun | undefined {
    const gap = this.#unacked.refuse(reason);
    this.#settle();
    return gap;
  }

  #now(): number {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#wallReadAtMs >= wallEveryMs) {
      this.#wallReadAtMs = nowMs;
      this.#wallOffsetUs = this.#clock.wallUs() - nowMs * 1000;
    }
    return nowMs;
  }

  #splitter(source: Source): PieceCutter {
    let splitter = this.#splitters.get(source);
    if (!splitter) {
      const take: TakePiece = (bytes, continues, timeMs) => this.#take(bytes, continues, timeMs, source);
      splitter = this.#guard?.splitter(take) ?? new LineSplitter(take);
      this.#splitters.set(source, splitter);
    }
    return splitter;
  }

  #take(bytes: Uint8Array, continues: boolean, timeMs: number, source: Source): void {
    const builder = (this.#builder ??= new ChunkBuilder(builderBytes));
    const timeUs = timeMs * 1000 + this.#wallOffsetUs;
    const level = this.#level;
    const fields = this.#fields;
    const info = fields ? { timeUs, level, source, continues, fields } : { timeUs, level, source, continues };
    this.#fields = undefined;
    if (!builder.add(bytes, info)) {
      this.#cutChunk();
      builder.add(bytes, info);
    }
    this.#hasDebug ||= level === Level.DEBUG || level === Level.TRACE;
    if (builder.bytes >= FLUSH_BYTES) this.#cutChunk();
  }

  #encode(text: string): Uint8Array {
    if (text.length * 3 < scratchBytes) {
      const scratch = (this.#scratch ??= Buffer.allocUnsafe(scratchBytes));
      const length = scratch.write(text, 0, "utf8");
      scratch[length] = 0x0a;
      return scratch.subarray(0, length + 1);
    }
    return Buffer.from(`${text}\n`);
  }

  #cutChunk(): void {
    const builder = this.#builder;
    if (!builder?.count) return;
    const firstLine = this.#firstLine;
    const lineCount = builder.count;
    const hasDebug = this.#hasDebug;
    this.#firstLine += lineCount;
    this.#hasDebug = false;
    this.#unacked.push({ kind: "chunk", firstLine, lineCount, bytes: builder.build(firstLine), hasDebug });
    this.#clearFlush();
  }

  /** Lines were added: see that they go. */
  #added(): void {
    this.#share.set(this.#held);
    if (this.#unacked.hasUnsent && (this.#streaming || !this.#unacked.hasFiles)) this.ready.ring();
    if (!this.#builder?.count || this.#flushTimer || this.#flushImmediate) return;
    if (!this.#streaming) {
      this.ready.ring();
      if (this.#unacked.hasFiles) this.#flushTimer = setTimeout(() => this.#flush(), SPOOL_FLUSH_MS);
    } else if (this.#unacked.isEmpty) {
      // The rest of a burst goes with its first line.
      this.#flushImmediate = setImmediate(() => {
        this.#flushImmediate = undefined;
        this.#flushNow();
        this.ready.ring();
      });
    } else {
      this.#flushTimer = setTimeout(() => this.#flush(), FLUSH_MS);
    }
  }

  /** Lines have waited for as long as they may. */
  #flush(): void {
    this.#flushTimer = undefined;
    this.#flushNow();
    this.ready.ring();
  }

  /** What waits goes now: into the spool, or with what is taken next. */
  #flushNow(): void {
    if (!this.#builder?.count) return;
    if (this.#unacked.hasFiles) this.#cutChunk();
    else this.#flushDue = true;
  }

  get #held(): Held {
    const waiting = this.#builder?.count ? this.#builder.bytes : 0;
    return {
      waiting: waiting + this.#unacked.waitingBytes,
      spooled: this.#unacked.spooledBytes,
      kept: this.#unacked.keptBytes,
    };
  }

  #settle(): void {
    this.#share.set(this.#held);
    this.ready.ring();
    this.#checkDrained();
  }

  #checkDrained(): void {
    if (!this.isDrained || this.#isReleased) return;
    this.#share.close();
    this.#release({ keepFiles: false });
    this.#resolveDrained();
  }

  /** The lines are nobody's here any more. */
  #release({ keepFiles }: { keepFiles: boolean }): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    const unacked = this.#unacked;
    // Files that cannot be removed are found by the next start.
    const closed = unacked.close({ keepFiles }).catch(() => undefined);
    void closed.then(() => this.#spool?.close(unacked));
  }

  #clearFlush(): void {
    clearTimeout(this.#flushTimer);
    clearImmediate(this.#flushImmediate);
    this.#flushTimer = undefined;
    this.#flushImmediate = undefined;
    this.#flushDue = false;
  }

  #armPartialTimer(ms: number): void {
    this.#partialTimer ??= setTimeout(() => {
      this.#partialTimer = undefined;
      const nowMs = this.#now();
      this.#cutPartials((splitter) => splitter.cutExpired(nowMs));
      const next = this.#partials()[0]?.expiresAtMs;
      // Timers fire early now and then, and younger bytes may wait.
      if (next !== undefined) this.#armPartialTimer(Math.max(1, next - nowMs));
    }, ms);
  }

  /** Splitters that hold unfinished bytes, oldest first. */
  #partials(): PieceCutter[] {
    return [...this.#splitters.values()]
      .filter((splitter) => splitter.expiresAtMs !== undefined)
      .sort((a, b) => (a.expiresAtMs ?? 0) - (b.expiresAtMs ?? 0));
  }

  #cutPartials(cut: (splitter: PieceCutter) => void): void {
    if (this.#closed) return;
    this.#now();
    this.#level = Level.UNSPECIFIED;
    this.#fields = undefined;
    for (const splitter of this.#partials()) cut(splitter);
    this.#added();
  }
}

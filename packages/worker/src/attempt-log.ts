import { ChunkBuilder, Level, type Source } from "@signalbox/protocol";
import { Bell } from "./bell.ts";
import type { Clock } from "./clock.ts";
import { boundFields, type Fields } from "./fields.ts";
import type { BudgetShare, LineBudget } from "./line-budget.ts";
import { LineSplitter, PARTIAL_MS, type PieceCutter, type TakePiece } from "./line-splitter.ts";
import type { LineGuard } from "./redaction/line-guard.ts";
import { UnackedLines, type GapRun, type LineRun } from "./unacked-lines.ts";

/** A chunk is encoded when so many bytes wait. */
export const FLUSH_BYTES = 64 * 1024;
/** Lines wait for the acknowledgement of those before, but no longer than this, milliseconds. */
export const FLUSH_MS = 20;

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
  readonly #unacked = new UnackedLines();
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
  #streaming = false;
  #flushDue = false;
  #flushTimer: NodeJS.Timeout | undefined;
  #flushImmediate: NodeJS.Immediate | undefined;
  #partialTimer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `onRoom` is called when the worker's line budget is full no longer. `guard` masks secrets; undefined: there are none. */
  constructor({ budget, clock, onRoom, guard }: AttemptLogOptions) {
    this.#clock = clock;
    this.#guard = guard;
    this.#share = budget.open(onRoom);
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
    return this.#unacked.bytes + (this.#builder?.count ? this.#builder.bytes : 0);
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
    this.#fields = fields && boundFields(fields, this.#guard?.value);
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
    this.ready.ring();
    this.#checkDrained();
  }

  /** No line will follow, and those not acknowledged are forgotten. `drained` never resolves unless it has. */
  discard(): void {
    this.#closed = true;
    clearTimeout(this.#partialTimer);
    this.stopStreaming();
    this.#unacked.clear();
    this.#builder = undefined;
    this.#share.close();
    this.ready.ring();
  }

  /** A stream is open and the server goes on at `nextLine`. Returns how many acknowledged lines it lost. Throws LinesUnknown. */
  startStreaming(nextLine: number): number {
    // The server may have lines that were encoded and never heard of again, but none that still wait here.
    const lost = this.#unacked.resume(nextLine);
    this.#streaming = true;
    this.#flushDue = (this.#builder?.count ?? 0) > 0;
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
    this.#flushDue = (this.#builder?.count ?? 0) > 0;
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
    this.#firstLine += lineCount;
    this.#unacked.push({ kind: "chunk", firstLine, lineCount, bytes: builder.build(firstLine) });
    this.#clearFlush();
  }

  /** Lines were added: see that they go. */
  #added(): void {
    this.#share.set(this.bytes);
    if (this.#streaming) {
      if (this.#unacked.hasUnsent) this.ready.ring();
      if (this.#builder?.count && !this.#flushTimer && !this.#flushImmediate) {
        if (this.#unacked.isEmpty) {
          // The rest of a burst goes with its first line.
          this.#flushImmediate = setImmediate(() => {
            this.#flushImmediate = undefined;
            this.ready.ring();
          });
        } else {
          this.#flushTimer = setTimeout(() => {
            this.#flushTimer = undefined;
            this.#flushDue = true;
            this.ready.ring();
          }, FLUSH_MS);
        }
      }
    } else if (this.hasLines) {
      this.ready.ring();
    }
  }

  #settle(): void {
    this.#share.set(this.bytes);
    this.#checkDrained();
  }

  #checkDrained(): void {
    if (!this.isDrained) return;
    this.#share.close();
    this.#resolveDrained();
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

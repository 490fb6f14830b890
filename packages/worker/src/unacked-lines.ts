import { GapCause } from "@signalbox/protocol";

/** Lines on their way to the server: an encoded chunk, or numbers that will never come. */
export type LineRun = ChunkRun | GapRun;

/** A chunk. Its bytes never change, however often they are sent. */
export interface ChunkRun {
  readonly kind: "chunk";
  readonly firstLine: number;
  readonly lineCount: number;
  /** An encoded `ChunkBody`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Lines of it have the level DEBUG or TRACE. Unset: unknown. */
  readonly hasDebug?: boolean;
}

/** Missing lines. */
export interface GapRun {
  readonly kind: "gap";
  readonly firstLine: number;
  readonly lineCount: number;
  readonly cause: GapCause;
  readonly detail: string;
}

/** The server asked for lines that were never made, or acknowledged them: somebody else writes this attempt's log. */
export class LinesUnknown extends Error {
  override readonly name = "LinesUnknown";
}

/**
 * What the server has not acknowledged, in order and without holes, and how much of it is on the wire. Each run is given out once a
 * stream, and again on the next stream if it was not acknowledged.
 */
export class UnackedLines {
  #runs: LineRun[] = [];
  /** Index of the next run to send on the present stream; the runs before it are on the wire. */
  #sent = 0;
  #inFlightBytes = 0;
  #bytes = 0;
  #ackedLine = 1;
  #nextLine = 1;

  /** Bytes of all chunks that are not acknowledged. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of chunks that are on the wire. */
  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  /** How many chunks and gaps are not acknowledged. */
  get count(): number {
    return this.#runs.length;
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0;
  }

  /** Bytes of chunks that the present stream has not had. */
  get unsentBytes(): number {
    return this.#bytes - this.#inFlightBytes;
  }

  /** The number after the newest line. */
  get nextLine(): number {
    return this.#nextLine;
  }

  /** Whether there is a run that the present stream has not had. */
  get hasUnsent(): boolean {
    return this.#sent < this.#runs.length;
  }

  /** All lines below this number are acknowledged. */
  get ackedLine(): number {
    return this.#ackedLine;
  }

  /** Nothing is held, and all lines below `line` are acknowledged. Throws RangeError if something is held. */
  startAt(line: number): void {
    this.continueAt(line);
    this.#ackedLine = line;
  }

  /** Nothing is held: the next run begins at `line`, where some of its lines may be acknowledged. Throws RangeError. */
  continueAt(line: number): void {
    if (!this.isEmpty) throw new RangeError("lines are held: others can only follow on them");
    this.#nextLine = line;
  }

  /** Adds a run. Throws RangeError if it does not follow on the newest one. */
  push(run: LineRun): void {
    if (run.firstLine !== this.#nextLine)
      throw new RangeError(`lines ${run.firstLine} and on do not follow on ${this.#nextLine}`);
    this.#runs.push(run);
    this.#bytes += bytesOf(run);
    this.#nextLine = run.firstLine + run.lineCount;
  }

  /**
   * A new stream begins, and the server goes on at `nextLine`. Returns how many acknowledged lines the server asks for again; they are
   * gone, and a gap stands in their place. Throws LinesUnknown.
   */
  resume(nextLine: number): number {
    this.#sent = 0;
    this.#inFlightBytes = 0;
    const lost = Math.max(0, this.#ackedLine - nextLine);
    if (lost > 0) {
      this.#runs.unshift({
        kind: "gap",
        firstLine: nextLine,
        lineCount: lost,
        cause: GapCause.STORE_ROLLBACK,
        detail: "the server had acknowledged these lines and asked for them again",
      });
      this.#ackedLine = nextLine;
    }
    this.ack(nextLine);
    return lost;
  }

  /** All lines below `nextLine` are on disk. Returns whether that was news. Throws LinesUnknown. */
  ack(nextLine: number): boolean {
    if (nextLine > this.#nextLine)
      throw new LinesUnknown(`the server has lines up to ${nextLine - 1}, this process made ${this.#nextLine - 1}`);
    if (nextLine <= this.#ackedLine) return false;
    this.#ackedLine = nextLine;
    let done = 0;
    for (const run of this.#runs) {
      if (run.firstLine + run.lineCount > nextLine) break;
      this.#bytes -= bytesOf(run);
      if (done < this.#sent) this.#inFlightBytes -= bytesOf(run);
      done++;
    }
    this.#runs.splice(0, done);
    this.#sent = Math.max(0, this.#sent - done);
    const first = this.#runs[0];
    // A chunk that is stored in part is sent whole again, and the server slices it; of a gap the rest is declared.
    if (first?.kind === "gap" && first.firstLine < nextLine && this.#sent === 0)
      this.#runs[0] = { ...first, firstLine: nextLine, lineCount: first.firstLine + first.lineCount - nextLine };
    return true;
  }

  /**
   * The next run to send, if `creditBytes` allow it: no more than that may be on the wire. A chunk that is larger than the credit goes
   * alone.
   */
  take(creditBytes: number): LineRun | undefined {
    const run = this.#runs[this.#sent];
    if (!run) return undefined;
    const bytes = bytesOf(run);
    if (this.#inFlightBytes > 0 && this.#inFlightBytes + bytes > creditBytes) return undefined;
    this.#sent++;
    this.#inFlightBytes += bytes;
    return run;
  }

  /**
   * The server refuses the newest chunk on the wire: its lines become a gap, the rest goes on. Returns the gap, or undefined if the
   * newest run on the wire is no chunk. For after a stream has failed.
   */
  refuse(reason: string): GapRun | undefined {
    const index = this.#sent - 1;
    const run = this.#runs[index];
    if (run?.kind !== "chunk") return undefined;
    const firstLine = Math.max(run.firstLine, this.#ackedLine);
    const gap: GapRun = {
      kind: "gap",
      firstLine,
      lineCount: run.firstLine + run.lineCount - firstLine,
      cause: GapCause.REFUSED,
      detail: reason,
    };
    this.#runs[index] = gap;
    this.#bytes -= run.bytes.length;
    this.#inFlightBytes -= run.bytes.length;
    return gap;
  }

  /**
   * Puts other runs in the place of unsent chunks, oldest first, until `bytes` are saved. `rewrite` gives runs that have the chunk's
   * numbers. Returns how many bytes were saved.
   */
  rewriteUnsent(bytes: number, rewrite: (run: ChunkRun) => readonly LineRun[]): number {
    let saved = 0;
    for (let i = this.#sent; i < this.#runs.length && saved < bytes; i++) {
      const run = this.#runs[i];
      if (run?.kind !== "chunk") continue;
      const instead = rewrite(run);
      const before = this.#runs[i - 1];
      const [first] = instead;
      if (instead.length === 1 && first?.kind === "gap" && i > this.#sent && before && follows(before, first)) {
        this.#runs.splice(i - 1, 2, { ...before, lineCount: before.lineCount + first.lineCount });
        i--;
      } else {
        this.#runs.splice(i, 1, ...instead);
        i += instead.length - 1;
      }
      saved += run.bytes.length - instead.reduce((sum, each) => sum + bytesOf(each), 0);
    }
    this.#bytes -= saved;
    return saved;
  }

  /** The number of the first line that the present stream has not had, at `line` or above it; undefined: there is none. */
  firstUnsent(line: number): number | undefined {
    return this.#runs.slice(this.#sent).find((run) => run.firstLine >= line)?.firstLine;
  }

  /** Forgets what the present stream has not had, from `line` on: a number that `firstUnsent` has said. */
  forgetUnsent(line: number): void {
    const index = this.#runs.findIndex((run, i) => i >= this.#sent && run.firstLine === line);
    if (index < 0) return;
    for (const run of this.#runs.splice(index)) this.#bytes -= bytesOf(run);
    this.#nextLine = line;
  }

  /** Forgets everything. */
  clear(): void {
    this.#runs = [];
    this.#sent = 0;
    this.#inFlightBytes = 0;
    this.#bytes = 0;
  }
}

/** Whether two gaps are one. */
function follows(before: LineRun, gap: GapRun): before is GapRun {
  return before.kind === "gap" && before.cause === gap.cause && before.detail === gap.detail;
}

function bytesOf(run: LineRun): number {
  return run.kind === "chunk" ? run.bytes.length : 0;
}

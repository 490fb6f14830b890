import { type Gap, Source } from "@signalbox/protocol";
import type { CommandMarker } from "../jobs/history.ts";
import type { LogBand } from "../jobs/state-track.ts";
import type { LogStore } from "./log-store.ts";

/** Where the reader stopped following. Stands before `line`. */
export interface Divider {
  readonly line: number;
  /** When, this machine's clock, milliseconds since the Unix epoch. */
  readonly atMs: number;
}

/** Lines that alone are shown, `to` exclusive. */
export interface LineWindow {
  readonly from: number;
  readonly to: number;
}

/** One row of the log view. The key is stable: it depends on what the row is, never on where it stands. */
export type LogRow =
  /** A line, or the pieces `line` to `last` joined. `here` is false while it is not loaded. */
  | {
      readonly kind: "line";
      readonly key: string;
      readonly line: number;
      readonly last: number;
      readonly here: boolean;
    }
  | { readonly kind: "gap"; readonly key: string; readonly line: number; readonly last: number; readonly gap: Gap }
  | { readonly kind: "marker"; readonly key: string; readonly line: number; readonly marker: CommandMarker }
  | { readonly kind: "divider"; readonly key: string; readonly line: number; readonly divider: Divider };

/**
 * Pieces are joined only within so many numbers, so that a group can be found from any of its lines. A line that writes over itself, as a
 * progress bar does, is one row however many pieces it has.
 */
const joinWithin = 256;
/** Longer pieces stand alone: a line of megabytes is shown as rows, one a piece. */
const joinBytes = 16_384;

/** Which rows stand at each line: markers and the divider, then the line itself, a gap, or joined pieces. */
export class LogRows {
  readonly #store: LogStore;
  #markers: readonly CommandMarker[] = [];
  #markedLines = new Set<number>();
  #divider: Divider | undefined;
  #bands: readonly LogBand[] = [];
  #window: LineWindow | undefined;
  /** Beginnings of runs of `joinWithin` numbers that are joined from there to the next one, both included. What is stored stays so. */
  readonly #through = new Set<number>();
  #resets = 0;

  constructor(store: LogStore) {
    this.#store = store;
  }

  /** Shows these lines alone; undefined: all that there are. */
  set window(window: LineWindow | undefined) {
    this.#window = window;
  }

  get window(): LineWindow | undefined {
    return this.#window;
  }

  /** Number of the first line that is shown, if there is any. */
  get beginLine(): number {
    const { beginLine, endLine } = this.#store;
    return Math.max(beginLine, Math.min(this.#window?.from ?? beginLine, endLine));
  }

  /** Number after the last line that is shown. */
  get endLine(): number {
    const { endLine } = this.#store;
    return Math.max(this.beginLine, Math.min(this.#window?.to ?? endLine, endLine));
  }

  /** Markers of commands by rising line. */
  set markers(markers: readonly CommandMarker[]) {
    this.#markers = markers;
    this.#markedLines = new Set(markers.map((marker) => marker.line));
    this.#through.clear();
  }

  get markers(): readonly CommandMarker[] {
    return this.#markers;
  }

  /** Lines that were printed while the job was paused or lost, by rising line. */
  set bands(bands: readonly LogBand[]) {
    this.#bands = bands;
  }

  /** What the job was seen to be when a line was printed; undefined: it ran. */
  bandOf(line: number): LogBand["kind"] | undefined {
    return this.#bands.findLast(({ from, to }) => line >= from && (to === undefined || line < to))?.kind;
  }

  set divider(divider: Divider | undefined) {
    this.#divider = divider;
  }

  get divider(): Divider | undefined {
    return this.#divider;
  }

  /** First line of the row that shows `line`. */
  head(line: number): number {
    const { beginLine } = this;
    const block = this.#store.block(line);
    if (block?.gap) return Math.max(beginLine, block.from);
    let head = line;
    while (head > beginLine)
      if (head % joinWithin === 0 && this.#isThrough(head - joinWithin)) head -= joinWithin;
      else if (this.#joinsBefore(head)) head--;
      else break;
    return Math.max(head, beginLine);
  }

  /** Rows at a head, in order. At or beyond the end of the log only markers and the divider. */
  at(head: number): LogRow[] {
    const content = this.#content(head);
    // What stands behind the last line that is shown is not at the end of the log.
    if (!content && this.endLine < this.#store.endLine) return [];
    const next = content ? content.last + 1 : Infinity;
    const rows: LogRow[] = [];
    if (this.#markedLines.size > 0)
      for (const marker of this.#markers)
        if (marker.line >= head && marker.line < next)
          rows.push({ kind: "marker", key: `m${marker.generation}`, line: head, marker });
    if (this.#divider && this.#divider.line >= head && this.#divider.line < next && content)
      rows.push({ kind: "divider", key: `d${this.#divider.line}`, line: head, divider: this.#divider });
    if (content) rows.push(content);
    return rows;
  }

  /** The head after `head`; the end of the log at most. */
  after(head: number): number {
    const content = this.#content(head);
    return Math.min(this.endLine, content ? content.last + 1 : head + 1);
  }

  /** The head before `head`; undefined at the start. */
  before(head: number): number | undefined {
    return head > this.beginLine ? this.head(Math.min(head, this.endLine) - 1) : undefined;
  }

  #content(head: number): Extract<LogRow, { kind: "line" | "gap" }> | undefined {
    const { endLine } = this;
    if (head >= endLine) return undefined;
    const block = this.#store.block(head);
    if (block?.gap) return { kind: "gap", key: `g${block.from}`, line: block.from, last: block.to - 1, gap: block.gap };
    let last = head;
    while (block && last + 1 < endLine)
      if (last % joinWithin === 0 && this.#isThrough(last)) last += joinWithin;
      else if (this.#joinsBefore(last + 1)) last++;
      else break;
    return { kind: "line", key: `l${head}`, line: head, last: Math.min(last, endLine - 1), here: block !== undefined };
  }

  /** Whether `line` goes on in the row of the line before it. */
  #joinsBefore(line: number): boolean {
    if (this.#markedLines.has(line)) return false;
    const piece = this.#store.line(line);
    if (!piece?.lines.continues(piece.index)) return false;
    const before = this.#store.line(line - 1);
    if (!before || before.lines.source(before.index) !== piece.lines.source(piece.index)) return false;
    const bytes = before.lines.bytes(before.index);
    if (line % joinWithin === 0) return overwrites(bytes) || overwrites(piece.lines.bytes(piece.index));
    return bytes.length < joinBytes;
  }

  /** Whether all numbers from `from`, a multiple of `joinWithin`, to the next multiple are one row. */
  #isThrough(from: number): boolean {
    if (this.#store.resets !== this.#resets) {
      this.#resets = this.#store.resets;
      this.#through.clear();
    }
    if (from < joinWithin || from + joinWithin >= this.#store.endLine) return false;
    if (this.#through.has(from)) return true;
    for (let line = from + joinWithin; line > from; line--) if (!this.#joinsBefore(line)) return false;
    this.#through.add(from);
    return true;
  }
}

/** Whether text goes back to the start of its line and writes over it. A carriage return before a line end does not. */
export function overwrites(bytes: Uint8Array): boolean {
  let end = bytes.length;
  if (bytes[end - 1] === 0x0a) end--;
  while (bytes[end - 1] === 0x0d && end < bytes.length) end--;
  const at = bytes.indexOf(0x0d);
  return at >= 0 && at < end;
}

/** The short word of the source column; empty for standard output, which needs none. */
export function sourceWord(source: Source): string {
  switch (source) {
    case Source.STDERR:
      return "err";
    case Source.SYSTEM:
      return "sys";
    case Source.TASK:
      return "task";
    default:
      return "";
  }
}

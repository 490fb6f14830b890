import { type Gap, Source } from "@signalbox/protocol";
import type { CommandMarker } from "../jobs/history.ts";
import type { LogStore } from "./log-store.ts";

/** Where the reader stopped following. Stands before `line`. */
export interface Divider {
  readonly line: number;
  /** When, this machine's clock, milliseconds since the Unix epoch. */
  readonly atMs: number;
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

/** Pieces are joined only within so many numbers, so that a group can be found from any of its lines. */
const joinWithin = 256;
/** Longer pieces stand alone: a line of megabytes is shown as rows, one a piece. */
const joinBytes = 16_384;

/** Which rows stand at each line: markers and the divider, then the line itself, a gap, or joined pieces. */
export class LogRows {
  readonly #store: LogStore;
  #markers: readonly CommandMarker[] = [];
  #markedLines = new Set<number>();
  #divider: Divider | undefined;

  constructor(store: LogStore) {
    this.#store = store;
  }

  /** Markers of commands by rising line. */
  set markers(markers: readonly CommandMarker[]) {
    this.#markers = markers;
    this.#markedLines = new Set(markers.map((marker) => marker.line));
  }

  get markers(): readonly CommandMarker[] {
    return this.#markers;
  }

  set divider(divider: Divider | undefined) {
    this.#divider = divider;
  }

  get divider(): Divider | undefined {
    return this.#divider;
  }

  /** First line of the row that shows `line`. */
  head(line: number): number {
    const block = this.#store.block(line);
    if (block?.gap) return block.from;
    let head = line;
    while (head > 1 && this.#joinsBefore(head)) head--;
    return head;
  }

  /** Rows at a head, in order. At or beyond the end of the log only markers and the divider. */
  at(head: number): LogRow[] {
    const content = this.#content(head);
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
    return Math.min(this.#store.endLine, content ? content.last + 1 : head + 1);
  }

  /** The head before `head`; undefined at the start. */
  before(head: number): number | undefined {
    return head > 1 ? this.head(Math.min(head, this.#store.endLine) - 1) : undefined;
  }

  #content(head: number): Extract<LogRow, { kind: "line" | "gap" }> | undefined {
    if (head >= this.#store.endLine) return undefined;
    const block = this.#store.block(head);
    if (block?.gap) return { kind: "gap", key: `g${block.from}`, line: block.from, last: block.to - 1, gap: block.gap };
    let last = head;
    if (block) while (last + 1 < this.#store.endLine && this.#joinsBefore(last + 1)) last++;
    return { kind: "line", key: `l${head}`, line: head, last, here: block !== undefined };
  }

  /** Whether `line` goes on in the row of the line before it. */
  #joinsBefore(line: number): boolean {
    if (line % joinWithin === 0 || this.#markedLines.has(line) || this.#divider?.line === line) return false;
    const piece = this.#store.line(line);
    if (!piece?.lines.continues(piece.index)) return false;
    const before = this.#store.line(line - 1);
    if (!before || before.lines.source(before.index) !== piece.lines.source(piece.index)) return false;
    return before.lines.bytes(before.index).length < joinBytes;
  }
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

import type { Client } from "@connectrpc/connect";
import type { Gap, LogService } from "@signalbox/protocol";
import type { CommandMarker } from "../jobs/history.ts";
import type { LogBand } from "../jobs/state-track.ts";
import type { Live } from "../live/live.svelte.ts";
import { LogFeed } from "./log-feed.ts";
import { LogRows, type LineWindow } from "./log-rows.ts";
import { LogSurface, type MarkedLines, type SurfaceElements } from "./log-surface.ts";

/** What the bars around the log say. Replaced at most four times a second, and at once when the mode changes. */
export interface LogSummary {
  /** Number of the first line that there can be. */
  readonly firstLine: number;
  /** Lines stored, those inside declared gaps among them. */
  readonly lines: number;
  /** Numbers inside declared gaps. */
  readonly missingLines: number;
  /** The gaps that were seen, by first line; all of them if they hold `missingLines`. */
  readonly gaps: readonly Gap[];
  readonly textBytes: number;
  readonly linesPerSecond: number;
  /** Lines by level, indexed by Level. */
  readonly levelCounts: readonly number[];
  readonly following: boolean;
  /** Since following stopped. */
  readonly newLines: number;
  /** Of those, ERROR and FATAL. */
  readonly newErrors: number;
  /** There are lines behind the divider to go back to. */
  readonly hasDivider: boolean;
  /** No line can follow. */
  readonly sealed: boolean;
  readonly fault: string | undefined;
}

/** Lines on the screen, `to` exclusive. */
export interface ShownLines {
  readonly from: number;
  readonly to: number;
}

/** One attempt's log in a page: its lines, and how far the reader is. Ended by `close`. */
export class LogReader {
  /** It is the log of late lines. */
  readonly isLate: boolean;
  #summary = $state.raw<LogSummary>(nothing);
  #marked = $state.raw<MarkedLines | undefined>(undefined);
  #announcement = $state.raw("");
  #hasMarkers = $state.raw(false);
  #shown = $state.raw<ShownLines>({ from: 1, to: 1 });
  /** What was painted last. */
  #painted: ShownLines = { from: 1, to: 1 };
  readonly #feed: LogFeed;
  readonly #rows: LogRows;
  readonly #unfollow: () => void;
  readonly #onMark: (marked: MarkedLines) => void;
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  #surface: LogSurface | undefined;
  /** What was there when following stopped; undefined while that is not known. */
  #left: { readonly line: number; readonly errors: number } | undefined;
  #stale = true;
  #jumpTo: number | undefined;
  #window = $state.raw<LineWindow | undefined>(undefined);
  #onLeave: (() => void) | undefined;

  /**
   * `marked` is what the URL marks; `onMark` puts another mark there. With `lateFrom` it is the log of the attempt's late lines, which
   * begins with that number. `beside`: it stands beside others, and the same log may be read alone meanwhile.
   */
  constructor(
    client: Client<typeof LogService>,
    live: Live,
    jobId: string,
    attempt: number,
    marked: MarkedLines | undefined,
    onMark: (marked: MarkedLines) => void,
    lateFrom?: number,
    beside = false,
  ) {
    this.isLate = lateFrom !== undefined;
    const changed = () => {
      this.#stale = true;
      this.#surface?.invalidate();
    };
    this.#feed = new LogFeed(client, jobId, attempt, changed, lateFrom, beside);
    this.#rows = new LogRows(this.#feed.store);
    this.#marked = marked;
    this.#jumpTo = marked?.from;
    this.#onMark = onMark;
    this.#unfollow = live.follow(this.#feed);
    this.#timers.push(setInterval(() => document.hidden || this.#refresh(), 250));
    const { beginLine } = this.#feed.store;
    let told = { lines: 0, errors: 0 };
    this.#timers.push(
      setInterval(() => {
        const now = { lines: this.#feed.store.endLine - beginLine, errors: errorsIn(this.#feed.store.levelCounts) };
        const [lines, errors] = [now.lines - told.lines, now.errors - told.errors];
        told = now;
        // A reader is not told of lines that are not being read.
        this.#announcement = this.#summary.following && lines > 0 ? `${lines} new lines, ${errors} errors` : "";
      }, 10_000),
    );
  }

  get summary(): LogSummary {
    return this.#summary;
  }

  /** What is on screen: at once while the reader reads, else as often as the summary. */
  get shown(): ShownLines {
    return this.#shown;
  }

  get marked(): MarkedLines | undefined {
    return this.#marked;
  }

  /** For screen readers, at most each 10 s. */
  get announcement(): string {
    return this.#announcement;
  }

  /** Lines that alone are shown; undefined: all. */
  get window(): LineWindow | undefined {
    return this.#window;
  }

  /**
   * Shows these lines alone, or with undefined all again; the end is not followed meanwhile. Where the reader goes to another line, or
   * follows, all are shown again and `onLeave` is called.
   */
  confine(window: LineWindow | undefined, onLeave?: () => void): void {
    this.#onLeave = onLeave;
    this.#window = this.#rows.window = window;
    // A line of the URL that is not among them has waited for its log to be known: nobody asks for it any more.
    if (this.#jumpTo !== undefined && !this.#shows(this.#jumpTo)) this.#jumpTo = undefined;
    if (this.#surface) this.#surface.window = window;
  }

  /** Shows all lines again, from the one at the top. */
  leaveWindow(): void {
    if (!this.#window) return;
    const onLeave = this.#onLeave;
    this.confine(undefined);
    onLeave?.();
  }

  /** Tells a screen reader something about what is shown. */
  tell(words: string): void {
    this.#announcement = words;
  }

  /** There are rows even where there is no line: commands. */
  get hasMarkers(): boolean {
    return this.#hasMarkers;
  }

  set markers(markers: readonly CommandMarker[]) {
    this.#rows.markers = markers;
    this.#hasMarkers = markers.length > 0;
    this.#surface?.invalidate();
  }

  /** Lines that were printed while the job was paused or lost. */
  set bands(bands: readonly LogBand[]) {
    this.#rows.bands = bands;
    this.#surface?.invalidate();
  }

  /** Draws into `parts` until the returned function is called. */
  attach(parts: SurfaceElements): () => void {
    const surface = new LogSurface(this.#feed.store, this.#rows, parts, {
      want: (from, to) => {
        this.#feed.want(from, to);
        this.#painted = { from, to };
        if (!surface.following) this.#showPainted();
      },
      modeChanged: () => this.#modeChanged(),
      mark: (line, extend) => this.#mark(line, extend),
    });
    this.#surface = surface;
    surface.marked = this.#marked;
    if (this.#window) surface.window = this.#window;
    if (this.#jumpTo !== undefined) this.jump(this.#jumpTo);
    return () => {
      surface.close();
      this.#surface = undefined;
    };
  }

  /** To the end, and stay there. */
  follow(): void {
    this.leaveWindow();
    this.#surface?.follow();
  }

  /** To a line, and stay there. A line that is not stored yet is jumped to when the log is known to reach it. */
  jump(line: number): void {
    if (!this.#shows(line)) this.leaveWindow();
    if (this.#feed.store.endLine <= line && !this.#feed.store.sealed) {
      this.#jumpTo = line;
      this.#surface?.read();
    } else {
      this.#jumpTo = undefined;
      this.#surface?.jump(line);
    }
  }

  /** To a line, and marks it. */
  goTo(line: number): void {
    this.#mark(line, false);
    this.jump(line);
  }

  /** To where following stopped. */
  toDivider(): void {
    if (this.#rows.divider) this.jump(this.#rows.divider.line);
  }

  /** To the next command (1) or the one before (-1), from the top of the screen. */
  toCommand(direction: 1 | -1): void {
    const top = this.#surface?.topLine ?? this.#feed.store.beginLine;
    const lines = this.#rows.markers.map((marker) => marker.line);
    // A jump leaves its line in the upper third, a little below the top.
    const target = direction > 0 ? lines.find((line) => line > top + 20) : lines.findLast((line) => line < top);
    if (target !== undefined) this.jump(target);
  }

  /** To the next gap from the top of the screen; behind the last one comes the first. */
  toGap(): void {
    const top = this.#surface?.topLine ?? 1;
    const lines = this.#feed.store.gaps.map((gap) => Number(gap.firstLine));
    const target = lines.find((line) => line > top + 20) ?? lines[0];
    if (target !== undefined) this.jump(target);
  }

  /** Scrolls by screens. */
  page(screens: number): void {
    this.#surface?.page(screens);
  }

  /** Scrolls by px. */
  scrollBy(px: number): void {
    this.#surface?.scrollBy(px);
  }

  /** To the first line. */
  toStart(): void {
    this.#surface?.toStart();
  }

  /** Paints again: wrap or width of columns changed. */
  relayout(): void {
    this.#surface?.invalidate();
  }

  /** Ends subscription, timers and surface. */
  close(): void {
    this.#unfollow();
    this.#feed.close();
    this.#surface?.close();
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** Whether a line is among those that are shown. */
  #shows(line: number): boolean {
    return !this.#window || (line >= this.#window.from && line < this.#window.to);
  }

  #showPainted(): void {
    const { from, to } = this.#painted;
    if (from !== this.#shown.from || to !== this.#shown.to) this.#shown = this.#painted;
  }

  #mark(line: number, extend: boolean): void {
    const first = this.#marked?.from ?? line;
    this.#marked = extend ? { from: Math.min(first, line), to: Math.max(first, line) } : { from: line, to: line };
    if (this.#surface) this.#surface.marked = this.#marked;
    this.#onMark(this.#marked);
  }

  #modeChanged(): void {
    const { store } = this.#feed;
    this.#left = undefined;
    if (this.#surface && !this.#surface.following && store.endLine > store.beginLine)
      this.#rows.divider = { line: store.endLine, atMs: Date.now() };
    this.#stale = true;
    this.#refresh();
  }

  #refresh(): void {
    const { store } = this.#feed;
    if (this.#jumpTo !== undefined && (store.endLine > this.#jumpTo || store.sealed)) this.jump(this.#jumpTo);
    this.#showPainted();
    const linesPerSecond = this.#feed.linesPerSecond(Date.now());
    if (!this.#stale && linesPerSecond === this.#summary.linesPerSecond) return;
    this.#stale = false;
    const following = this.#surface?.following ?? true;
    // Who comes by a link to a line has left nothing: what is new counts from the first news of the end.
    if (!following && store.endLine > store.beginLine)
      this.#left ??= { line: store.endLine, errors: errorsIn(store.levelCounts) };
    const left = this.#left ?? { line: store.endLine, errors: errorsIn(store.levelCounts) };
    this.#summary = {
      firstLine: store.beginLine,
      lines: store.endLine - store.beginLine,
      missingLines: store.missingLines,
      gaps: store.gaps,
      textBytes: store.textBytes,
      linesPerSecond,
      levelCounts: store.levelCounts,
      following,
      newLines: following ? 0 : Math.max(0, store.endLine - left.line),
      newErrors: following ? 0 : Math.max(0, errorsIn(store.levelCounts) - left.errors),
      hasDivider:
        !!this.#rows.divider && this.#rows.divider.line < store.endLine && this.#rows.divider.line > store.beginLine,
      sealed: store.sealed,
      fault: this.#feed.fault,
    };
  }
}

const nothing: LogSummary = {
  firstLine: 1,
  lines: 0,
  missingLines: 0,
  gaps: [],
  textBytes: 0,
  linesPerSecond: 0,
  levelCounts: [0, 0, 0, 0, 0, 0, 0],
  following: true,
  newLines: 0,
  newErrors: 0,
  hasDivider: false,
  sealed: false,
  fault: undefined,
};

function errorsIn(levelCounts: readonly number[]): number {
  return (levelCounts[5] ?? 0) + (levelCounts[6] ?? 0);
}

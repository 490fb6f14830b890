import { copySelected } from "./copy-lines.ts";
import { dragScroll } from "./drag-scroll.ts";
import { RowElement } from "./log-row-element.ts";
import type { LineWindow, LogRow, LogRows } from "./log-rows.ts";
import type { LogStore } from "./log-store.ts";
import { maxMarks, ScrollBar, type MapMark, type ScrollBarElements } from "./scroll-bar.ts";
import { touchScroll } from "./touch-scroll.ts";

/** Height of a line that is not wrapped, and of the rows between lines, in px. log-rows.css has the same numbers. */
export const lineHeight = 18;
const betweenHeight = 24;

/** The elements that a surface draws into. `scroller` scrolls sideways only. */
export interface SurfaceElements extends ScrollBarElements {
  readonly scroller: HTMLElement;
  readonly content: HTMLElement;
}

/** What a surface tells its owner. */
export interface SurfaceEvents {
  /** These lines are on screen, `to` exclusive. */
  want(from: number, to: number): void;
  /** The reader stopped following, or follows again. */
  modeChanged(): void;
  /** The reader clicked a line number, with Shift if `extend`. */
  mark(line: number, extend: boolean): void;
}

/** A run of marked lines, both ends included. */
export interface MarkedLines {
  readonly from: number;
  readonly to: number;
}

/**
 * Draws a log of any length with as many elements as fit the screen. What is on screen is told by an anchor, the top row and how far
 * it is scrolled out, never by pixels from the start: appending, loading, evicting or wrapping anything else cannot move it. The
 * scroll bar's thumb stands for line numbers. Paints at most once a frame, and not in a hidden tab. Ended by `close`.
 */
export class LogSurface {
  #following = true;
  #anchor: { line: number; key: string };
  /** How far the viewport's top is below the anchor row's top, px. May be beyond the row until the next paint. */
  #offset = 0;
  #marked: MarkedLines | undefined;
  #frame = 0;
  readonly #open = new Set<string>();
  readonly #raw = new Set<string>();
  #elements = new Map<string, RowElement>();
  readonly #spare: RowElement[] = [];
  readonly #store: LogStore;
  readonly #rows: LogRows;
  readonly #parts: SurfaceElements;
  readonly #events: SurfaceEvents;
  readonly #leave = new AbortController();
  readonly #sizes: ResizeObserver;
  readonly #bar: ScrollBar;
  readonly #stopGlide: () => void;
  #screenTop: number;

  constructor(store: LogStore, rows: LogRows, parts: SurfaceElements, events: SurfaceEvents) {
    this.#store = store;
    this.#anchor = { line: store.beginLine, key: "" };
    this.#rows = rows;
    this.#parts = parts;
    this.#events = events;
    this.#screenTop = parts.scroller.getBoundingClientRect().top;
    this.#sizes = new ResizeObserver(() => this.#stayInPlace());
    this.#sizes.observe(parts.scroller);
    const { signal } = this.#leave;
    this.#bar = new ScrollBar(
      parts,
      { dragTo: (share) => this.#dragTo(share), page: (by) => this.page(by), dropped: () => this.invalidate() },
      signal,
    );
    dragScroll(parts.scroller, (px) => this.scrollBy(px), signal);
    this.#stopGlide = touchScroll(parts.scroller, (px) => this.scrollBy(px), signal);
    this.#listen(signal);
    this.invalidate();
  }

  /** Whether the end is kept on screen. */
  get following(): boolean {
    return this.#following;
  }

  /** Number of the line at the top of the screen. */
  get topLine(): number {
    return this.#anchor.line;
  }

  set marked(marked: MarkedLines | undefined) {
    this.#marked = marked;
    this.invalidate();
  }

  /** Paints in the next frame. */
  invalidate(): void {
    if (this.#frame === 0 && !this.#leave.signal.aborted)
      this.#frame = requestAnimationFrame(() => {
        this.#frame = 0;
        this.#paint();
      });
  }

  /** Keeps the end on screen from now on. */
  follow(): void {
    this.#stopGlide();
    this.#change(true);
  }

  /** Stays where it is from now on. */
  read(): void {
    this.#change(false);
  }

  /** Scrolls by so many px; up ends following. */
  scrollBy(px: number): void {
    if (this.#following && px >= 0) return;
    this.read();
    this.#offset += px;
    this.invalidate();
  }

  /** Scrolls by a share of the screen, less one line. */
  page(screens: number): void {
    this.scrollBy(screens * Math.max(lineHeight, this.#parts.scroller.clientHeight - lineHeight));
  }

  /** Brings a line to the upper third of the screen and stays there. */
  jump(line: number): void {
    this.read();
    this.#anchor = { line: this.#headOf(line), key: "" };
    this.#offset = -Math.floor(this.#parts.scroller.clientHeight / 3);
    this.invalidate();
  }

  /** Goes to the first line. */
  toStart(): void {
    this.read();
    this.#anchor = { line: this.#rows.beginLine, key: "" };
    this.#offset = 0;
    this.invalidate();
  }

  /**
   * Shows these lines alone from now on, or all again, and stays at the line that is at the top. If that is not one of them it goes to the
   * first that is. The end of the log is not followed while lines are left out.
   */
  set window(window: LineWindow | undefined) {
    if (window) this.read();
    this.#rows.window = window;
    if (window && (this.#anchor.line < window.from || this.#anchor.line >= window.to)) this.toStart();
    else this.invalidate();
  }

  /** Ends listeners and frames. The elements stay as they are. */
  close(): void {
    this.#leave.abort();
    this.#sizes.disconnect();
    cancelAnimationFrame(this.#frame);
  }

  #change(following: boolean): void {
    if (this.#following !== following) {
      this.#following = following;
      this.#events.modeChanged();
    }
    this.invalidate();
  }

  /** A banner or a bar above takes its height from the log: what is read stays where it is on the screen. */
  #stayInPlace(): void {
    const { top } = this.#parts.scroller.getBoundingClientRect();
    if (!this.#following) this.#offset += top - this.#screenTop;
    this.#screenTop = top;
    this.invalidate();
  }

  // ---- painting

  #paint(): void {
    const height = this.#parts.scroller.clientHeight;
    if (height === 0) return;
    // Mostly one pass; another one when rows turned out taller than they were thought to be.
    for (let pass = 0; pass < 6; pass++) {
      const shown = this.#following ? this.#lastRows(height) : this.#rowsAround(height);
      this.#place(shown.rows);
      if (this.#settle(shown, height)) break;
    }
    this.#paintBar(height);
    const first = this.#shownLines.from;
    this.#events.want(first, this.#shownLines.to);
  }

  #shownLines = { from: 1, to: 1 };

  /** Rows from the end back until the screen is full. */
  #lastRows(height: number): { rows: LogRow[]; start: boolean; end: boolean } {
    const rows: LogRow[] = [];
    const { followEnd, endLine } = this.#store;
    let head = followEnd < endLine ? this.#rows.before(followEnd) : endLine;
    for (let px = 0; head !== undefined && px < height + 4 * lineHeight; head = this.#rows.before(head)) {
      const here = this.#rows.at(head);
      for (const row of here) px += leastHeight(row);
      rows.unshift(...here);
    }
    return { rows, start: head === undefined, end: true };
  }

  /** Rows from somewhat before the anchor to somewhat below the screen. */
  #rowsAround(height: number): { rows: LogRow[]; start: boolean; end: boolean } {
    const { endLine } = this.#rows;
    const above = Math.max(0, -this.#offset) + (this.#measures ? height : 6 * lineHeight);
    const anchorHead = this.#headOf(this.#anchor.line);
    const rows: LogRow[] = [];
    let head = anchorHead;
    for (let px = 0; px < above;) {
      const before = this.#rows.before(head);
      if (before === undefined) break;
      head = before;
      for (const row of this.#rows.at(head)) px += leastHeight(row);
    }
    const start = head === this.#rows.beginLine;
    const below = height + Math.max(0, this.#offset) + (this.#measures ? height : 6 * lineHeight);
    let px = 0;
    for (; px < below || head <= anchorHead; head = this.#rows.after(head)) {
      const here = this.#rows.at(head);
      rows.push(...here);
      if (head >= anchorHead) for (const row of here) px += leastHeight(row);
      if (head >= endLine) return { rows, start, end: true };
    }
    return { rows, start, end: false };
  }

  /** First line of the row that shows `line`, or else the row nearest to it. */
  #headOf(line: number): number {
    const { beginLine, endLine } = this.#rows;
    return this.#rows.head(Math.max(beginLine, Math.min(line, endLine - 1)));
  }

  /** Whether rows may be taller than their least height. */
  get #measures(): boolean {
    return this.#parts.scroller.dataset["wrap"] === "true";
  }

  /** Makes the content's children the elements of `rows`, in order. An element stays with its row as long as it is shown. */
  #place(rows: readonly LogRow[]): void {
    const { content } = this.#parts;
    const shown = new Map<string, RowElement>();
    const wanted = new Set(rows.map((row) => row.key));
    const held = this.#heldRows();
    const above: RowElement[] = [];
    const below: RowElement[] = [];
    const firstLine = rows[0]?.line ?? 1;
    for (const [key, element] of this.#elements) {
      if (wanted.has(key)) continue;
      if (held.has(element.root)) {
        // Selection and focus stay on their own text, even while it is off the screen.
        element.root.classList.add("held");
        ((element.row?.line ?? 0) < firstLine ? above : below).push(element);
      } else {
        element.root.remove();
        if (this.#spare.length < 64) this.#spare.push(element);
      }
    }
    for (const row of rows) {
      const element = this.#elements.get(row.key) ?? this.#spare.pop() ?? new RowElement();
      const marked =
        row.kind === "line" && !!this.#marked && row.line <= this.#marked.to && row.last >= this.#marked.from;
      element.root.classList.remove("held");
      element.show(row, this.#store, {
        marked,
        open: this.#open.has(row.key),
        raw: this.#raw.has(row.key),
        band: this.#rows.bandOf(row.line),
      });
      shown.set(row.key, element);
    }
    const byLine = (a: RowElement, b: RowElement) => (a.row?.line ?? 0) - (b.row?.line ?? 0);
    const order = [...above.sort(byLine), ...shown.values(), ...below.sort(byLine)];
    let next = content.firstElementChild;
    for (const { root } of order) {
      if (root === next) next = next.nextElementSibling;
      else content.insertBefore(root, next);
    }
    for (const element of [...above, ...below]) if (element.row) shown.set(element.row.key, element);
    this.#elements = shown;
  }

  /** Row elements that hold an end of the selection or the focus. */
  #heldRows(): Set<Element> {
    const held = new Set<Element>();
    const add = (node: Node | null) => {
      if (!node || !this.#parts.content.contains(node)) return;
      const row = (node instanceof Element ? node : node.parentElement)?.closest(".row");
      if (row) held.add(row);
    };
    const selection = document.getSelection();
    if (selection && !selection.isCollapsed) {
      add(selection.anchorNode);
      add(selection.focusNode);
    }
    add(document.activeElement);
    return held;
  }

  /** Measures, moves the content to its place, and finds the new anchor. False: not enough rows were placed, place others. */
  #settle(shown: { rows: LogRow[]; start: boolean; end: boolean }, height: number): boolean {
    const tops: number[] = [];
    let total = 0;
    for (const row of shown.rows) {
      tops.push(total);
      total += this.#measures ? (this.#elements.get(row.key)?.root.offsetHeight ?? 0) : leastHeight(row);
    }
    let top = 0;
    if (this.#following) top = Math.max(0, total - height);
    else {
      let index = shown.rows.findIndex((row) => row.key === this.#anchor.key);
      if (index < 0) {
        // The row is no longer one of its own, or none was named: the row that shows its line.
        index = shown.rows.findIndex(
          (row) => (row.kind === "line" || row.kind === "gap") && row.last >= this.#anchor.line,
        );
        if (index < 0) index = shown.rows.length - 1;
      }
      top = (tops[index] ?? 0) + this.#offset;
      const lowest = Math.max(0, total - height);
      if (shown.end && top > lowest) top = shown.start ? lowest : total - height;
      if (shown.start && top < 0) top = 0;
    }
    let at = tops.findLastIndex((rowTop) => rowTop <= top);
    if (at < 0) at = 0;
    const row = shown.rows[at];
    if (row) {
      this.#anchor = { line: row.line, key: row.key };
      this.#offset = top - (tops[at] ?? 0);
    }
    if (!this.#following && ((top < 0 && !shown.start) || (top + height > total && !shown.end))) return false;
    this.#parts.content.style.transform = `translateY(${-Math.round(top)}px)`;
    const bottom = tops.findLastIndex((rowTop) => rowTop < top + height);
    const last = shown.rows[Math.max(at, bottom)];
    const { beginLine } = this.#rows;
    this.#shownLines = {
      from: row?.line ?? beginLine,
      to: last ? (last.kind === "line" || last.kind === "gap" ? last.last : last.line) + 1 : beginLine,
    };
    return true;
  }

  #paintBar(height: number): void {
    const { beginLine, endLine } = this.#rows;
    const lines = Math.max(1, endLine - beginLine);
    const visible = height / lineHeight;
    const passed = this.#anchor.line - beginLine + Math.min(1, this.#offset / lineHeight);
    const share = this.#following ? 1 : Math.min(1, passed / Math.max(1, lines - visible));
    const marks: MapMark[] = [
      ...this.#rows.markers.map((marker) => ({ line: marker.line, kind: "marker" })),
      ...this.#store.gaps.slice(-maxMarks).map((gap) => ({ line: Number(gap.firstLine), kind: "gap" })),
      ...(this.#rows.divider ? [{ line: this.#rows.divider.line, kind: "divider" }] : []),
    ];
    const inside = marks.filter(({ line }) => line >= beginLine && line <= endLine);
    this.#bar.paint({ first: beginLine, lines, top: this.#anchor.line, visible, share }, inside);
  }

  // ---- input

  #listen(signal: AbortSignal): void {
    const { scroller, content, bar } = this.#parts;
    for (const each of [scroller, bar])
      each.addEventListener("wheel", (event) => this.#wheel(event), { signal, passive: false });
    // Focus and find-in-page may scroll the frame itself; rows are placed by their anchor alone.
    scroller.addEventListener("scroll", () => (scroller.scrollTop = 0), { signal });
    content.addEventListener("click", (event) => this.#click(event), { signal });
    scroller.addEventListener(
      "copy",
      (event) => copySelected(event, this.#rows, this.#store, (key) => this.#raw.has(key)),
      { signal },
    );
    document.addEventListener("selectionchange", () => this.#selected(), { signal });
  }

  #wheel(event: WheelEvent): void {
    // Sideways, and zooming, are the browser's.
    if (event.ctrlKey || event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? lineHeight : event.deltaMode === 2 ? this.#parts.scroller.clientHeight : 1;
    this.scrollBy(event.deltaY * unit);
  }

  #dragTo(share: number): void {
    const { scroller } = this.#parts;
    this.read();
    const { beginLine, endLine } = this.#rows;
    const lines = Math.max(0, endLine - beginLine - scroller.clientHeight / lineHeight);
    this.#anchor = { line: this.#headOf(beginLine + Math.round(share * lines)), key: "" };
    // At the very bottom the last row stands at the bottom, markers behind it included.
    this.#offset = share >= 1 ? scroller.clientHeight : 0;
    this.invalidate();
  }

  #click(event: MouseEvent): void {
    const target = event.target instanceof Element ? event.target : undefined;
    const row = target?.closest<HTMLElement>(".row");
    if (!row) return;
    if (target?.closest("a.number")) {
      if (event.ctrlKey || event.metaKey || event.button !== 0) return;
      event.preventDefault();
      this.read();
      this.#events.mark(Number(row.dataset["line"]), event.shiftKey);
      return;
    }
    if (target?.closest(".raw-switch")) {
      const key = row.dataset["key"] ?? "";
      if (!this.#raw.delete(key)) this.#raw.add(key);
      this.read();
      this.invalidate();
      return;
    }
    // Where rows are cut to three lines, a tap opens one.
    if (
      row.classList.contains("line") &&
      getComputedStyle(row).getPropertyValue("--cut") &&
      document.getSelection()?.isCollapsed
    ) {
      const key = row.dataset["key"] ?? "";
      if (!this.#open.delete(key)) this.#open.add(key);
      this.read();
      this.invalidate();
    }
  }

  #selected(): void {
    const selection = document.getSelection();
    if (!selection || selection.isCollapsed || !this.#following) return;
    if (this.#parts.content.contains(selection.anchorNode)) this.read();
  }
}

function leastHeight(row: LogRow): number {
  return row.kind === "line" ? lineHeight : betweenHeight;
}

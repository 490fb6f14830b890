import { Level } from "@signalbox/protocol";
import { clock, exact, logTime, moment, step, visible } from "../ui/format.ts";
import { gapWords } from "./gap-words.ts";
import { lineSpans, rawSpans } from "./line-text.ts";
import type { LogRow } from "./log-rows.ts";
import { overwrites, sourceWord } from "./log-rows.ts";
import type { LogStore } from "./log-store.ts";

/** A row as an element. Elements are reused for other rows; `show` fills one in. */
export class RowElement {
  readonly root = document.createElement("div");
  row: LogRow | undefined;
  #signature = "";
  /** Once the row has shown a line. */
  #line: LineElements | undefined;

  /** Draws `row`, unless it is drawn already and nothing about it changed. */
  show(row: LogRow, store: LogStore, { marked, open, raw, band }: RowState): void {
    const unfinished = row.kind === "line" && isUnfinished(row, store);
    const state = `${marked ? " marked" : ""}${open ? " open" : ""}${raw ? " raw" : ""}${unfinished ? " unfinished" : ""}${band ? ` in-${band}` : ""}`;
    const signature =
      row.kind === "line"
        ? `${row.key}-${row.last}-${row.here ? 1 : 0}${state}`
        : `${row.key}-${row.line}-${row.kind === "marker" ? row.marker.proof : ""}${state}`;
    this.row = row;
    if (signature === this.#signature) return;
    this.#signature = signature;
    this.root.dataset["key"] = row.key;
    this.root.dataset["line"] = String(row.line);
    switch (row.kind) {
      case "line":
        this.#showLine(row, store, state, raw, band);
        break;
      case "gap": {
        this.root.className = `row gap${state}`;
        const { count, range, cause } = gapWords(row.gap);
        this.#between(
          element("b", "", count),
          element("span", "", range),
          element("span", "", `${cause}. Cannot be loaded.`),
        );
        break;
      }
      case "marker": {
        this.root.className = `row marker${state}`;
        const { who, what, afterMs, line, proof } = row.marker;
        const text = element("span", "");
        text.append(
          element("b", "", who),
          ` ${visible(what)} · applied after ${step(afterMs)}, at line ${exact(line)}${proof && ` · proved: ${proof}`}`,
        );
        this.#between(leverSign(), text);
        break;
      }
      case "divider":
        this.root.className = "row divider";
        this.#between(
          element("b", "", "You left here"),
          element("span", "", clock(row.divider.atMs * 1000, Date.now())),
        );
        break;
    }
  }

  #showLine(
    row: Extract<LogRow, { kind: "line" }>,
    store: LogStore,
    state: string,
    raw: boolean,
    band: RowState["band"],
  ): void {
    const stored = store.line(row.line);
    const line = (this.#line ??= new LineElements());
    if (this.root.firstChild !== line.gutter) this.root.replaceChildren(line.gutter, line.text);
    setText(line.number, exact(row.line));
    line.number.href = `?line=${row.line}`;
    setTitle(line.gutter, stored && band ? `Printed while the job was ${band}` : "");
    if (!stored) {
      this.root.className = `row line away${state}`;
      line.setPlace("", "", "", "", "");
      line.text.replaceChildren();
      return;
    }
    const level = stored.lines.level(stored.index);
    const source = sourceWord(stored.lines.source(stored.index));
    const continues = stored.lines.continues(stored.index);
    this.root.className = `row line ${levelClass(level)} ${source}${continues ? " continues" : ""}${state}`;
    const atUs = stored.lines.orderTimeUs(stored.index);
    line.setPlace(levelLetters[level] ?? "", levelNames[level] ?? "", logTime(atUs), moment(atUs), source);
    const bytes = rowBytes(row, store);
    const spans = raw ? rawSpans(bytes) : lineSpans(bytes);
    const [first] = spans;
    if (!continues && !overwrites(bytes) && spans.length === 1 && first && !first.look) {
      setText(line.text, first.text);
      return;
    }
    const pieces: (Node | string)[] = continues ? [element("span", "joint", "↳ ")] : [];
    for (const span of spans) {
      if (!span.look) pieces.push(span.text);
      else {
        const run = element("span", span.look.classes, span.text);
        if (span.look.color) run.style.color = span.look.color;
        if (span.look.background) {
          run.style.background = span.look.background;
          run.style.color = "var(--well)";
        }
        pieces.push(run);
      }
    }
    if (overwrites(bytes)) pieces.push(rawSwitch(raw));
    line.text.replaceChildren(...pieces);
  }

  #between(...parts: Element[]): void {
    const words = element("span", "words");
    words.append(...parts);
    this.root.replaceChildren(words);
  }
}

/**
 * What a row that shows a line is made of. It stays, and its words change: a log that runs fills some thousand rows a second, and to make
 * their elements anew leaves a browser with memory in pieces.
 */
class LineElements {
  readonly gutter = element("span", "gutter");
  readonly number = element("a", "number");
  readonly #level = element("span", "level");
  readonly #time = element("time", "time");
  readonly #source = element("span", "source");
  readonly text = element("span", "text");

  constructor() {
    this.number.tabIndex = -1;
    this.gutter.append(this.number, this.#level, this.#time, this.#source);
  }

  /** Fills the gutter beside the number. */
  setPlace(letter: string, level: string, time: string, moment: string, source: string): void {
    setText(this.#level, letter);
    setTitle(this.#level, level);
    setText(this.#time, time);
    setTitle(this.#time, moment);
    setText(this.#source, source);
  }
}

/** Sets the text of an element, in the text node that it has. */
function setText(element: Element, text: string): void {
  const { firstChild: only } = element;
  if (only instanceof Text && !only.nextSibling) only.data = text;
  else element.textContent = text;
}

function setTitle(element: HTMLElement, title: string): void {
  if (element.title !== title) element.title = title;
}

/** How a row is shown, besides what it holds. */
export interface RowState {
  readonly marked: boolean;
  /** Where long rows are cut, this one is not. */
  readonly open: boolean;
  /** All that was written into the line is shown, not what it came to. */
  readonly raw: boolean;
  /** What the job was seen to be when the row was printed; undefined: it ran. */
  readonly band: "paused" | "lost" | undefined;
}

/** A row of more pieces writes over itself: what it came to is in the newest of them. */
const newestPieces = 512;

/** The bytes of a row: its pieces joined. */
export function rowBytes(row: Extract<LogRow, { kind: "line" }>, store: LogStore): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let line = Math.max(row.line, row.last + 1 - newestPieces); line <= row.last; line++) {
    const stored = store.line(line);
    if (stored) pieces.push(stored.lines.bytes(stored.index));
  }
  if (pieces.length === 1 && pieces[0]) return pieces[0];
  const joined = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

/** Whether the row is the log's last and its line has no end yet: a prompt, or a progress bar on its way. */
function isUnfinished(row: Extract<LogRow, { kind: "line" }>, store: LogStore): boolean {
  if (row.last !== store.endLine - 1 || store.sealed) return false;
  const stored = store.line(row.last);
  return stored !== undefined && stored.lines.bytes(stored.index).at(-1) !== 0x0a;
}

/** Switches a line that was written over between what it came to and all that was written. */
function rawSwitch(raw: boolean): HTMLButtonElement {
  const button = element("button", "raw-switch");
  button.type = "button";
  // Its word is drawn by the style sheet: the text of a row is the line's and nothing else.
  button.dataset["word"] = raw ? "newest" : "raw";
  button.tabIndex = -1;
  button.ariaLabel = button.title = raw
    ? "Show what the line came to"
    : "Show all that was written into this line, one over the other";
  return button;
}

const levelLetters = ["", "T", "D", "I", "W", "E", "F"];
const levelNames = ["no level", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

function levelClass(level: Level): string {
  if (level >= Level.ERROR) return "error";
  if (level === Level.WARN) return "warn";
  return level === Level.DEBUG || level === Level.TRACE ? "debug" : "";
}

function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  className: string,
  text = "",
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function leverSign(): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 14 14");
  svg.setAttribute("aria-hidden", "true");
  const post = document.createElementNS(svg.namespaceURI, "path");
  post.setAttribute("d", "M7 1.8v10.4M3.5 12.2h7");
  post.setAttribute("stroke", "currentColor");
  post.setAttribute("stroke-width", "1.3");
  const handle = document.createElementNS(svg.namespaceURI, "path");
  handle.setAttribute("d", "M3.6 3.4h6.8v2.6H3.6z");
  handle.setAttribute("fill", "currentColor");
  svg.append(post, handle);
  return svg;
}

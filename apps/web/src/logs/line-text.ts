import { createAnsiSequenceParser, type ParseToken } from "ansi-sequence-parser";
import { splitEscapes } from "./escape-sequences.ts";
import { cssColor } from "./terminal-color.ts";

/** A run of characters that look the same. */
export interface TextSpan {
  readonly text: string;
  /** Undefined: plain text. */
  readonly look: TextLook | undefined;
}

/** How a span looks. Colours are CSS colours. */
export interface TextLook {
  readonly color: string | undefined;
  /** With a background, the text is drawn in the log's own surface colour, which is readable on all of them. */
  readonly background: string | undefined;
  /** Class names: bold, dim, italic, underline, strike, and `control` for characters made visible. */
  readonly classes: string;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
// C0 without tab, DEL, C1, characters that turn the reading direction, and Unicode's own line ends: what cannot simply be shown.
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const special = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const unseen = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * The text of a line as it is shown: invalid UTF-8 as U+FFFD, without its line end, after carriage returns, backspaces and erasing as
 * a terminal would leave it, in its colours, with other control characters made visible. `bytes` may be several pieces joined.
 */
export function lineSpans(bytes: Uint8Array): TextSpan[] {
  const text = trimEnd(decoder.decode(bytes));
  if (!special.test(text)) return text ? [{ text, look: undefined }] : [];
  return spansOf(text, text.includes("\r") || text.includes("\b") ? new Screen() : undefined);
}

/** Spans of text with escape sequences; with a screen what a terminal would leave of it. */
function spansOf(text: string, screen: Screen | undefined): TextSpan[] {
  const parser = createAnsiSequenceParser();
  const spans: TextSpan[] = [];
  for (const part of splitEscapes(text)) {
    if (part.kind === "erase") screen?.erase();
    // The parser takes an empty list, which means reset, for nothing.
    else if (part.kind === "style") parser.parse(`\u001b[${part.params.replaceAll(":", ";").replace(/^$/, "0")}m`);
    else {
      // What is left of ESC here is broken; the parser must not see it.
      const [token] = parser.parse("x");
      const look = token && lookOf(token);
      if (screen) screen.write(part.text, look);
      else spans.push({ text: part.text, look });
    }
  }
  return (screen?.spans() ?? spans).flatMap(showControls);
}

/** A line with all that was written into it: nothing is overwritten or erased, colours are kept, control characters are made visible. */
export function rawSpans(bytes: Uint8Array): TextSpan[] {
  return spansOf(trimEnd(decoder.decode(bytes)), undefined);
}

/** The text of a line as it was written, without its line end; invalid UTF-8 as U+FFFD. */
export function rawText(bytes: Uint8Array): string {
  return trimEnd(decoder.decode(bytes));
}

/** The text of {@link lineSpans} alone. */
export function lineText(bytes: Uint8Array): string {
  return lineSpans(bytes)
    .map((span) => span.text)
    .join("");
}

/** Without the line end and the carriage returns before it. */
function trimEnd(text: string): string {
  let end = text.length;
  if (text[end - 1] === "\n") end--;
  while (text[end - 1] === "\r") end--;
  return end === text.length ? text : text.slice(0, end);
}

/** One line of a terminal. */
class Screen {
  #cells: { char: string; look: TextLook | undefined }[] = [];
  #column = 0;

  write(text: string, look: TextLook | undefined): void {
    for (const char of text) {
      if (char === "\r") this.#column = 0;
      else if (char === "\b") this.#column = Math.max(0, this.#column - 1);
      else this.#cells[this.#column++] = { char, look };
    }
  }

  /** Erases from the column to the end. */
  erase(): void {
    this.#cells.length = Math.min(this.#cells.length, this.#column);
  }

  spans(): TextSpan[] {
    const spans: { text: string; look: TextLook | undefined }[] = [];
    for (const { char, look } of this.#cells) {
      const last = spans.at(-1);
      if (last && last.look === look) last.text += char;
      else spans.push({ text: char, look });
    }
    return spans;
  }
}

function lookOf(token: ParseToken): TextLook | undefined {
  const { foreground, background, decorations } = token;
  if (!foreground && !background && decorations.size === 0) return undefined;
  const classes: string[] = [];
  for (const [decoration, name] of decorationClasses) if (decorations.has(decoration)) classes.push(name);
  const reversed = decorations.has("reverse");
  const paper = reversed ? (foreground ?? undefined) : (background ?? undefined);
  const ink = reversed ? undefined : (foreground ?? undefined);
  return {
    color: ink && !paper ? cssColor(ink) : undefined,
    background: paper ? cssColor(paper) : reversed ? "var(--fg2)" : undefined,
    classes: classes.join(" "),
  };
}

const decorationClasses = [
  ["bold", "bold"],
  ["dim", "dim"],
  ["italic", "italic"],
  ["underline", "underline"],
  ["strikethrough", "strike"],
] as const;

const controlLook: TextLook = { color: undefined, background: undefined, classes: "control" };

function showControls(span: TextSpan): TextSpan[] {
  if (!special.test(span.text)) return [span];
  const spans: TextSpan[] = [];
  let from = 0;
  for (const match of span.text.matchAll(unseen)) {
    if (match.index > from) spans.push({ text: span.text.slice(from, match.index), look: span.look });
    spans.push({ text: picture(match[0].charCodeAt(0)), look: controlLook });
    from = match.index + 1;
  }
  if (from < span.text.length) spans.push({ text: span.text.slice(from), look: span.look });
  return spans;
}

function picture(code: number): string {
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "␡";
  return code < 0x100 ? `\\x${code.toString(16)}` : `\\u${code.toString(16)}`;
}

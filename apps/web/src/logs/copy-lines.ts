import { lineText, rawText } from "./line-text.ts";
import { rowBytes } from "./log-row-element.ts";
import type { LogRows } from "./log-rows.ts";
import type { LogStore } from "./log-store.ts";

/** Most lines that are copied at once. */
const maxCopiedLines = 200_000;

/**
 * Puts what is selected on the clipboard: text without numbers, and whole lines between the ends of the selection whether they are on
 * screen or not. Lines that are shown `isRaw` are copied as they were written. A selection inside one line is the browser's.
 */
export function copySelected(
  event: ClipboardEvent,
  rows: LogRows,
  store: LogStore,
  isRaw: (key: string) => boolean,
): void {
  const selection = document.getSelection();
  if (!selection || selection.isCollapsed || !event.clipboardData) return;
  const range = selection.getRangeAt(0);
  const start = textPlace(range.startContainer, range.startOffset);
  const end = textPlace(range.endContainer, range.endOffset);
  if (!start || !end || start.line === end.line) return;
  const texts: string[] = [];
  for (let head = start.line; head <= end.line && texts.length < maxCopiedLines; head = rows.after(head)) {
    const row = rows.at(head).find((each) => each.kind === "line");
    if (!row) continue;
    if (!row.here) texts.push(`[line ${row.line} was not loaded]`);
    else {
      const bytes = rowBytes(row, store);
      const text = isRaw(row.key) ? rawText(bytes) : lineText(bytes);
      texts.push(head === start.line ? text.slice(start.at) : head === end.line ? text.slice(0, end.at) : text);
    }
    if (rows.after(head) === head) break;
  }
  event.clipboardData.setData("text/plain", texts.join("\n"));
  event.preventDefault();
}

/** The line of a place in the content, and how many characters of its text are before it. */
function textPlace(node: Node, offset: number): { line: number; at: number } | undefined {
  const element = node instanceof Element ? (node.childNodes[offset] ?? node) : node;
  const row = (element instanceof Element ? element : element.parentElement)?.closest<HTMLElement>(".row.line");
  if (!row) return undefined;
  const line = Number(row.dataset["line"]);
  const text = row.querySelector(".text");
  if (!text) return { line, at: 0 };
  const before = document.createRange();
  before.selectNodeContents(text);
  if (before.comparePoint(node, offset) < 0) return { line, at: 0 };
  if (before.comparePoint(node, offset) === 0) before.setEnd(node, offset);
  const joint = text.querySelector(".joint")?.textContent?.length ?? 0;
  return { line, at: Math.max(0, before.toString().length - joint) };
}

import type { LogEntry } from "@signalbox/protocol";
import { linesIn } from "./gap-words.ts";
import type { LogStore } from "./log-store.ts";

/** Entries that are read at most to find the gaps of one log; what is not found then is only counted. */
const mostReads = 200;

/** A run of lines, `to` exclusive, and how many lines of the log are missing before its first and before `to`. */
interface Span {
  readonly from: number;
  readonly to: number;
  readonly missingBefore: number;
  readonly missingAfter: number;
}

/**
 * Finds where lines are missing in parts of a log that are not here. Each stored entry says how many are missing up to its end, so that a
 * part without any is known to be whole without being read: a gap among a million lines costs about twenty entries.
 */
export class GapFinder {
  readonly #store: LogStore;
  readonly #read: (line: number, signal: AbortSignal) => Promise<LogEntry | undefined>;
  readonly #onFound: () => void;
  readonly #leave = new AbortController();
  #reads = 0;
  #running = false;

  /** `read` reads the stored entry that holds a line; `onFound` is called when a gap was put into the store. */
  constructor(
    store: LogStore,
    read: (line: number, signal: AbortSignal) => Promise<LogEntry | undefined>,
    onFound: () => void,
  ) {
    this.#store = store;
    this.#read = read;
    this.#onFound = onFound;
  }

  /** Looks for gaps that are not known yet, if there are any. Resolves when there is nothing more to find, or too much. */
  async look(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      const { beginLine, markedLine, missingLines, resets } = this.#store;
      const spans: Span[] = [{ from: beginLine, to: markedLine, missingBefore: 0, missingAfter: missingLines }];
      // The newest part first: that is what people look at.
      for (let span = spans.pop(); span; span = spans.pop()) {
        if (span.missingAfter - span.missingBefore <= this.#knownIn(span)) continue;
        if (this.#reads >= mostReads || this.#leave.signal.aborted || this.#store.resets !== resets) return;
        this.#reads++;
        const entry = await this.#read(Math.floor((span.from + span.to - 1) / 2), this.#leave.signal);
        const range = entry && rangeOf(entry);
        if (!entry?.mark || !range) return;
        const after = Number(entry.mark.missingLines);
        if (entry.entry.case === "gap") {
          this.#store.add(entry);
          this.#onFound();
        }
        const inside = entry.entry.case === "gap" ? range.to - range.from : 0;
        if (range.from > span.from) spans.push({ ...span, to: range.from, missingAfter: after - inside });
        if (range.to < span.to) spans.push({ ...span, from: range.to, missingBefore: after });
      }
    } catch {
      // The server is away, or the reader has left. What is missing is counted all the same.
    } finally {
      this.#running = false;
    }
  }

  close(): void {
    this.#leave.abort();
  }

  #knownIn({ from, to }: Span): number {
    return linesIn(this.#store.gaps.filter(({ firstLine }) => Number(firstLine) >= from && Number(firstLine) < to));
  }
}

function rangeOf({ entry }: LogEntry): { readonly from: number; readonly to: number } | undefined {
  if (entry.case === "gap") {
    const from = Number(entry.value.firstLine);
    return { from, to: from + Number(entry.value.lineCount) };
  }
  const header = entry.case === "chunk" ? entry.value.header : undefined;
  return header && { from: Number(header.firstLine), to: Number(header.nextLine) };
}

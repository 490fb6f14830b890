import { ChunkLines, type Gap, type LogChunk, type LogEntry } from "@signalbox/protocol";

/** A run of consecutive lines that is here: lines, or numbers that will never come. */
export interface LogBlock {
  /** First line. */
  readonly from: number;
  /** Number after the last line. */
  readonly to: number;
  readonly chunk: LogChunk | undefined;
  readonly gap: Gap | undefined;
  /** The chunk's columns; made when first read. */
  lines: ChunkLines | undefined;
}

/** A line that is here: its place in a chunk. */
export interface StoredLine {
  readonly lines: ChunkLines;
  readonly index: number;
}

/** What a block costs besides its text: message objects and columns. An estimate. */
const blockBytes = 1_500;
const lineBytes = 20;

/**
 * The lines of one attempt that are in this page, by number. Holds chunks as they came; columns are read on demand. Ranges may be
 * missing anywhere: they were not loaded yet, or were evicted.
 */
export class LogStore {
  /** Number of the first line that there can be. Late lines have the numbers that their worker gave them. */
  readonly beginLine: number;
  /** Rises with each change. */
  version = 0;
  /** How often everything was forgotten. */
  resets = 0;
  /** Number after the newest line that is stored on the server, whether it is here or not. */
  endLine: number;
  /** Lines of the attempt by level, indexed by Level. */
  levelCounts: readonly number[] = [0, 0, 0, 0, 0, 0, 0];
  /** Bytes of text of the attempt up to `endLine`, as far as is known. */
  textBytes = 0;
  /** Numbers inside gaps of the attempt up to `endLine`, as far as is known. */
  missingLines = 0;
  /** No line can follow. */
  sealed = false;
  readonly #blocks: LogBlock[] = [];
  readonly #gaps = new Map<number, Gap>();
  #costBytes = 0;
  #markLine: number;
  #arrivedEnd: number;
  #sortedGaps: readonly Gap[] | undefined;

  constructor(beginLine = 1) {
    this.beginLine = this.endLine = this.#arrivedEnd = this.#markLine = beginLine;
  }

  /** Estimated memory in use. */
  get costBytes(): number {
    return this.#costBytes;
  }

  /** Up to which line (exclusive) `missingLines` and `textBytes` count. */
  get markedLine(): number {
    return this.#markLine;
  }

  /** Gaps that were seen, by first line; they are never evicted. The same array until another one is seen. */
  get gaps(): readonly Gap[] {
    return (this.#sortedGaps ??= [...this.#gaps.values()].sort((a, b) => Number(a.firstLine - b.firstLine)));
  }

  /**
   * Where to follow: the number after the newest line that has come. `endLine` runs ahead of it when lines come faster than they can be
   * sent, and takes its place where the newest lines were evicted.
   */
  get followEnd(): number {
    const newest = this.#blocks.at(-1);
    return newest && newest.to === this.#arrivedEnd ? newest.to : this.endLine;
  }

  /** Takes one stored entry in. One that is already here changes nothing. */
  add(entry: LogEntry): void {
    this.version++;
    const next = Number(entry.nextLine);
    if (entry.mark && next >= this.#markLine) {
      this.#markLine = next;
      this.textBytes = Number(entry.mark.blobBytes);
      this.missingLines = Number(entry.mark.missingLines);
    }
    if (next > this.endLine) this.endLine = next;
    if (next > this.#arrivedEnd) this.#arrivedEnd = next;
    const stored = entry.entry;
    if (stored.case === "seal") this.sealed = true;
    else if (stored.case === "gap") {
      const from = Number(stored.value.firstLine);
      if (!this.#gaps.has(from)) this.#sortedGaps = undefined;
      this.#gaps.set(from, stored.value);
      this.#insert({
        from,
        to: from + Number(stored.value.lineCount),
        chunk: undefined,
        gap: stored.value,
        lines: undefined,
      });
    } else if (stored.case === "chunk" && stored.value.header)
      this.#insert({
        from: Number(stored.value.header.firstLine),
        to: Number(stored.value.header.nextLine),
        chunk: stored.value,
        gap: undefined,
        lines: undefined,
      });
  }

  /** Takes in where the log ends and what it holds, which may be ahead of what is here. */
  learnEnd(endLine: number, levelCounts: readonly bigint[]): void {
    this.version++;
    if (endLine < this.endLine) return;
    this.endLine = endLine;
    if (levelCounts.length > 0) this.levelCounts = levelCounts.map(Number);
  }

  /** The block that holds a line; undefined if it is not here. */
  block(line: number): LogBlock | undefined {
    const block = this.#blocks[this.#after(line) - 1];
    return block && line < block.to ? block : undefined;
  }

  /** A line that is here and not in a gap. */
  line(line: number): StoredLine | undefined {
    const block = this.block(line);
    if (!block?.chunk) return undefined;
    const lines = (block.lines ??= new ChunkLines(block.chunk));
    return { lines, index: line - block.from };
  }

  /** The first run of lines from `from` to `to` (exclusive) that is not here; undefined if all are. */
  firstMissing(from: number, to: number): { readonly from: number; readonly to: number } | undefined {
    let at = from;
    for (let index = Math.max(0, this.#after(from) - 1); at < to && index < this.#blocks.length; index++) {
      const block = this.#blocks[index];
      if (!block || block.to <= at) continue;
      if (block.from > at) return { from: at, to: Math.min(to, block.from) };
      at = block.to;
    }
    return at < to ? { from: at, to } : undefined;
  }

  /** Drops the blocks farthest from line `near` until the store costs at most `budgetBytes`. Columns of far blocks go first. */
  evict(near: number, budgetBytes: number): void {
    if (this.#costBytes <= budgetBytes) return;
    this.version++;
    let first = 0;
    let last = this.#blocks.length;
    while (this.#costBytes > budgetBytes && last - first > 1) {
      const low = this.#blocks[first];
      const high = this.#blocks[last - 1];
      if (!low || !high) break;
      const dropped = near - low.to > high.from - near ? low : high;
      if (dropped === low) first++;
      else last--;
      this.#costBytes -= cost(dropped);
    }
    this.#blocks.splice(last);
    this.#blocks.splice(0, first);
  }

  /** Forgets everything. */
  reset(): void {
    this.version++;
    this.resets++;
    this.#blocks.length = 0;
    this.#gaps.clear();
    this.#sortedGaps = undefined;
    this.#costBytes = 0;
    this.#markLine = this.#arrivedEnd = this.endLine = this.beginLine;
    this.levelCounts = [0, 0, 0, 0, 0, 0, 0];
    this.textBytes = this.missingLines = 0;
    this.sealed = false;
  }

  /** Index of the first block that begins after `line`. */
  #after(line: number): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#blocks[middle]?.from ?? 0) <= line) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #insert(block: LogBlock): void {
    const index = this.#after(block.from);
    const before = this.#blocks[index - 1];
    // Stored entries never overlap: what begins inside a block is that block again.
    if (before && before.to > block.from) return;
    this.#blocks.splice(index, 0, block);
    this.#costBytes += cost(block);
  }
}

function cost(block: LogBlock): number {
  if (!block.chunk) return blockBytes;
  return blockBytes + (block.chunk.header?.blobBytes ?? 0) + (block.to - block.from) * lineBytes;
}

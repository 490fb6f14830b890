import { toJson } from "@bufbuild/protobuf";
import {
  ChunkLines,
  GapCause,
  GapSchema,
  Level,
  LevelSchema,
  SourceSchema,
  type Source,
  type Attempt,
  type Gap,
  type LogEntry,
} from "@signalbox/protocol";
import { exact, logTime } from "@signalbox/protocol/format";
import { judgeableLength, sanitise } from "./sanitise.ts";
import { enumName } from "./json.ts";
import type { Output } from "./output.ts";

/** Which lines are printed, and how. */
export interface LogFormat {
  /** The exact bytes and nothing else. */
  readonly raw: boolean;
  readonly timestamps: boolean;
  /** Lines below it are left out, and those without a level. UNSPECIFIED: none are. */
  readonly level: Level;
}

/** What lines are printed to. */
export type LogOutput = Pick<Output, "json" | "color" | "write" | "line" | "object" | "note" | "paint">;

/**
 * Prints stored entries of one attempt after another, each line once: what lies before the next line wanted is left out. Bounded
 * memory: nothing is kept but the unfinished end of each source's newest piece.
 */
export class LogPrinter {
  /** The next line wanted. */
  nextLine: number;
  /** Lines at or beyond this are not printed. */
  readonly #untilLine: number;
  readonly #out: LogOutput;
  readonly #format: LogFormat;
  readonly #text: TextRows;

  constructor(out: LogOutput, format: LogFormat, fromLine: number, lineCount = Infinity) {
    this.#out = out;
    this.#format = format;
    this.nextLine = fromLine;
    this.#untilLine = fromLine + lineCount;
    this.#text = new TextRows(out.color, format.timestamps);
  }

  /** Whether everything that was wanted is printed. */
  get isDone(): boolean {
    return this.nextLine >= this.#untilLine;
  }

  /** Prints what is wanted of an entry, and waits while the output's reader is slow. `attempt` is the one that it belongs to. */
  async entry({ entry }: LogEntry, attempt: Pick<Attempt, "number"> & Partial<Attempt>): Promise<void> {
    if (entry.case === "chunk") await this.#chunk(new ChunkLines(entry.value), attempt);
    else if (entry.case === "gap") await this.#gap(entry.value, attempt.number);
  }

  /** Ends a row that is not finished. */
  async end(): Promise<void> {
    const rest = this.#text.end();
    if (rest) await this.#out.write(rest);
  }

  async #chunk(lines: ChunkLines, attempt: Pick<Attempt, "number"> & Partial<Attempt>): Promise<void> {
    const from = Math.max(this.nextLine, lines.firstLine) - lines.firstLine;
    const to = Math.min(this.#untilLine, lines.nextLine) - lines.firstLine;
    if (to <= from) return;
    this.nextLine = lines.firstLine + to;
    const parts: string[] = [];
    for (let index = from; index < to; index++) {
      if (this.#format.level !== Level.UNSPECIFIED && lines.level(index) < this.#format.level) continue;
      if (this.#format.raw) {
        // As many bytes at a time as there are neighbours.
        const first = index;
        while (index + 1 < to && this.#isWanted(lines, index + 1)) index++;
        await this.#out.write(lines.blob(first, index + 1));
      } else if (this.#out.json) await this.#out.object(lineJson(lines, index, attempt));
      else this.#text.add(parts, lines, index);
    }
    if (parts.length > 0) await this.#out.write(parts.join(""));
  }

  #isWanted(lines: ChunkLines, index: number): boolean {
    return this.#format.level === Level.UNSPECIFIED || lines.level(index) >= this.#format.level;
  }

  async #gap(gap: Gap, attempt: number): Promise<void> {
    const next = Number(gap.firstLine) + Number(gap.lineCount);
    if (next <= this.nextLine || Number(gap.firstLine) >= this.#untilLine) return;
    this.nextLine = Math.min(next, this.#untilLine);
    await this.end();
    if (this.#format.raw) this.#out.note(gapWords(gap));
    else if (this.#out.json) await this.#out.object({ attempt, gap: toJson(GapSchema, gap) });
    else await this.#out.line(this.#out.paint("yellow", `── ${gapWords(gap)}`));
  }
}

/** Makes rows of the pieces that lines come in: a piece that goes on from the one on screen is put behind it. */
class TextRows {
  readonly #colors: boolean;
  readonly #timestamps: boolean;
  /** The source whose row is not finished. */
  #open: Source | undefined;
  /** The end of that row that cannot be judged yet: half of a character, of a colour, of a line end. */
  #held = "";
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(colors: boolean, timestamps: boolean) {
    this.#colors = colors;
    this.#timestamps = timestamps;
  }

  add(parts: string[], lines: ChunkLines, index: number): void {
    const source = lines.source(index);
    const goesOn = this.#open === source && lines.continues(index);
    if (!goesOn) {
      parts.push(this.end());
      if (this.#timestamps) parts.push(`${timestamp(lines.orderTimeUs(index))} `);
    }
    let bytes = lines.bytes(index);
    const isWhole = bytes.at(-1) === 0x0a;
    if (isWhole) bytes = bytes.subarray(0, -1);
    let text = this.#held + this.#decoder.decode(bytes, { stream: !isWhole });
    if (isWhole && text.endsWith("\r")) text = text.slice(0, -1);
    const ready = isWhole ? text.length : judgeableLength(text);
    this.#held = text.slice(ready);
    parts.push(sanitise(text.slice(0, ready), this.#colors));
    if (isWhole) parts.push("\n");
    this.#open = isWhole ? undefined : source;
  }

  /** What ends the row on screen; empty if it is finished. */
  end(): string {
    if (this.#open === undefined) return "";
    const rest = sanitise(this.#held + this.#decoder.decode());
    this.#held = "";
    this.#open = undefined;
    return `${rest}\n`;
  }
}

/** One line as programs get it. `bytes` is there if the text is not what was printed: it was no UTF-8. */
function lineJson(lines: ChunkLines, index: number, attempt: Pick<Attempt, "number"> & Partial<Attempt>): object {
  let bytes = lines.bytes(index);
  if (bytes.at(-1) === 0x0a) bytes = bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
  const message = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const attributes = lines.attributes(index);
  return {
    attempt: attempt.number,
    line: String(lines.firstLine + index),
    timestamp: isoTime(lines.orderTimeUs(index)),
    level: enumName(LevelSchema, lines.level(index)),
    source: enumName(SourceSchema, lines.source(index)),
    message,
    ...(message.includes("\ufffd") ? { bytes: Buffer.from(bytes).toString("base64") } : {}),
    ...(lines.continues(index) ? { continues: true } : {}),
    ...(attributes?.taskId ? { taskId: attributes.taskId } : {}),
    ...(attributes && Object.keys(attributes.fields).length > 0 ? { fields: attributes.fields } : {}),
    ...(attempt.workerId ? { workerId: attempt.workerId } : {}),
    ...(attempt.metadata && Object.keys(attempt.metadata).length > 0 ? { metadata: attempt.metadata } : {}),
  };
}

/** `2026-11-21T17:06:26.029104Z`. */
function isoTime(us: number): string {
  const milliseconds = new Date(Math.floor(us / 1000)).toISOString().slice(0, -1);
  return `${milliseconds}${String(us % 1000).padStart(3, "0")}Z`;
}

/** `2026-11-21 18:06:26.029`, local time. */
function timestamp(us: number): string {
  const date = new Date(us / 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${logTime(us)}`;
}

function gapWords({ firstLine, lineCount, cause, detail }: Gap): string {
  const count = exact(Number(lineCount));
  const last = firstLine + lineCount - 1n;
  const which =
    lineCount === 1n
      ? `line ${exact(Number(firstLine))} is`
      : `${count} lines, ${exact(Number(firstLine))} to ${exact(Number(last))}, are`;
  return `${which} missing: ${causeWords[cause]}${detail ? `, ${sanitise(detail)}` : ""}`;
}

const causeWords: Readonly<Record<GapCause, string>> = {
  [GapCause.UNSPECIFIED]: "no cause given",
  [GapCause.DROPPED_DEBUG]: "the worker's spool was full, and its oldest debug lines were dropped",
  [GapCause.DROPPED_OLDEST]: "the worker's spool was full, and its oldest lines were dropped",
  [GapCause.SPOOL_CORRUPT]: "a part of the worker's spool was damaged",
  [GapCause.REFUSED]: "the server refused them as malformed",
  [GapCause.STORE_ROLLBACK]: "the server's store was set back, and the worker no longer had them",
};

import { ChunkBuilder, Level, Source } from "@signalbox/protocol";
import { Bell } from "../bell.ts";
import { systemClock } from "../clock.ts";
import type { PushedLog } from "../push-logs.ts";
import type { GapRun, LineRun } from "../unacked-lines.ts";
import type { AttemptFiles } from "./attempt-files.ts";
import type { LeftAttempt } from "./left-spools.ts";
import { LineQueue } from "./line-queue.ts";

/** What the room is told where nothing says how many lines are lost. */
export function damagedEndWords({ nextLine }: Pick<LeftAttempt, "nextLine">): string {
  return `The end of the worker's spool is damaged: lines after ${nextLine - 1} may be missing.`;
}

/** The lines that a process left in its spool. No line follows on them, but one that tells where their end is damaged. */
export class SpooledLog implements PushedLog {
  readonly ready = new Bell();
  readonly #queue: LineQueue;

  /** `onTrouble` is told why lines cannot be read. */
  constructor(files: AttemptFiles, left: LeftAttempt, onTrouble: (reason: string) => void) {
    this.#queue = new LineQueue(
      {
        files,
        mayKeep: () => true,
        mayWrite: () => true,
        changed: () => this.ready.ring(),
        onTrouble: () => undefined,
        onUnreadable: onTrouble,
        dropDetail: "",
        onDropped: () => undefined,
      },
      left,
    );
    if (!left.isEndDamaged) return;
    const builder = new ChunkBuilder();
    const info = { timeUs: systemClock.wallUs(), level: Level.WARN, source: Source.SYSTEM };
    builder.add(Buffer.from(`${damagedEndWords(left)}\n`), info);
    const firstLine = left.nextLine;
    this.#queue.push({ kind: "chunk", firstLine, lineCount: 1, bytes: builder.build(firstLine) });
  }

  get hasLines(): boolean {
    return !this.#queue.isEmpty;
  }

  get isDrained(): boolean {
    return this.#queue.isEmpty;
  }

  get nextLine(): number {
    return this.#queue.nextLine;
  }

  get ackedLine(): number {
    return this.#queue.ackedLine;
  }

  startStreaming(nextLine: number): number {
    const lost = this.#queue.resume(nextLine);
    this.ready.ring();
    return lost;
  }

  stopStreaming(): void {
    // Nothing waits for a moment to be sent.
  }

  ack(nextLine: number): boolean {
    const isNews = this.#queue.ack(nextLine);
    if (isNews) this.ready.ring();
    return isNews;
  }

  take(creditBytes: number): LineRun | undefined {
    return this.#queue.take(creditBytes);
  }

  refuse(reason: string): GapRun | undefined {
    return this.#queue.refuse(reason);
  }

  /** Stops. What is delivered is removed; with `keepFiles` the rest stays. */
  close(options: { keepFiles: boolean }): Promise<void> {
    return this.#queue.close(options);
  }
}

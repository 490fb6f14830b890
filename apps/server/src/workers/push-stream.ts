import type { Gap } from "@signalbox/protocol";
import type { AttemptLog } from "../logs/attempt-log.ts";
import type { Sender } from "../logs/header.ts";
import { fullCreditBytes, type IngestBudget } from "./ingest-budget.ts";

/** What an entry weighs besides its text. Without it, tiny messages could be under way without number. */
const entryBytes = 8 * 1024;

/** What a stream of lines needs from the ingest. */
export interface PushStreamParts {
  readonly log: AttemptLog;
  readonly sender: Sender;
  /** The lines are late evidence. */
  readonly late: boolean;
  readonly budget: IngestBudget;
  readonly counts: { chunks: number; bytes: number };
  /** More lines are on disk, `lines` of them since it was called last. */
  readonly stored: (lines: number) => void;
  /** What a failed append means for the worker. */
  readonly failed: (error: unknown) => Error;
  /** There is an acknowledgement to send, room to take more, or an end: look at the stream. Not called from within its methods. */
  readonly changed: () => void;
  /** Nothing more is taken or settled. Called once. */
  readonly over?: () => void;
}

/** What is acknowledged: all lines below `nextLine` are on disk, and so many bytes may be on their way. */
export interface Ack {
  readonly nextLine: number;
  readonly creditBytes: number;
  /** The lines are kept as late evidence. */
  readonly late: boolean;
}

/**
 * The lines that one PushLogs call brings. Whoever reads the call gives it what has come, in order, while it `hasRoom`, and sends an
 * acknowledgement when the client can take one: at most one is ever waiting, made from the newest state.
 *
 * Without promises of its own and without a loop: hundreds of workers that print a line now and then have a message for each line.
 */
export class PushStream {
  readonly #parts: PushStreamParts;
  #ownBytes = 0;
  #underWay = 0;
  /** Nothing more is taken: the client has ended its side, has gone, or an append failed. */
  #closed = false;
  #failure: Error | undefined;
  #isWaiting = false;
  #isTelling = false;
  #isFinished = false;
  #toldLine = 0;
  #toldCredit = 0;
  #countedLine: number;

  constructor(parts: PushStreamParts) {
    this.#parts = parts;
    this.#countedLine = parts.log.durable.nextLine;
  }

  /**
   * Whether the next message may be given; when there is none, `changed` is called as soon as there is. A client that sends more than it
   * was ever given credit for waits alone; one that meets the bound of all waits with all.
   */
  get hasRoom(): boolean {
    if (this.#ownBytes >= fullCreditBytes) return false;
    const { budget } = this.#parts;
    if (!budget.hasRoom && !this.#isWaiting && !this.#closed) {
      this.#isWaiting = true;
      budget.whenRoom(this.#onRoom);
    }
    return budget.hasRoom;
  }

  /** Takes an encoded `ChunkBody`. */
  chunk(encoded: Uint8Array): void {
    const { counts } = this.#parts;
    counts.chunks++;
    counts.bytes += encoded.length;
    this.#take(() => this.#parts.log.append(encoded, this.#parts.sender), encoded.length);
  }

  /** Takes a declared gap. */
  gap(gap: Gap): void {
    this.#take(() => this.#parts.log.appendGap(gap, this.#parts.sender), 0);
  }

  /** Nothing follows. With an error, that is how the stream ends when everything under way is settled. */
  end(error?: Error): void {
    this.#closed = true;
    this.#failure ??= error;
    if (this.#isWaiting) this.#parts.budget.forget(this.#onRoom);
    this.#finish();
  }

  /** What is on disk, or is to be had on credit, and was not told yet. */
  takeAck(): Ack | undefined {
    const { nextLine } = this.#parts.log.durable;
    const { creditBytes } = this.#parts.budget;
    if (nextLine === this.#toldLine && creditBytes === this.#toldCredit) return undefined;
    this.#toldLine = nextLine;
    this.#toldCredit = creditBytes;
    return { nextLine, creditBytes, late: this.#parts.late };
  }

  /** Set when nothing more will be taken or settled. */
  get over(): { readonly error: Error | undefined } | undefined {
    return this.#closed && this.#underWay === 0 ? { error: this.#failure } : undefined;
  }

  #take(append: () => Promise<void>, bytes: number): void {
    if (this.#closed) return;
    const charged = bytes + entryBytes;
    this.#parts.budget.take(charged);
    this.#ownBytes += charged;
    this.#underWay++;
    append().then(
      () => this.#settle(charged),
      (error: unknown) => {
        this.end(this.#failure ?? this.#parts.failed(error));
        this.#settle(charged);
      },
    );
  }

  #settle(charged: number): void {
    this.#underWay--;
    this.#ownBytes -= charged;
    this.#parts.budget.give(charged);
    this.#finish();
    this.#tell();
  }

  #finish(): void {
    if (this.#isFinished || !this.over) return;
    this.#isFinished = true;
    this.#parts.over?.();
  }

  readonly #onRoom = () => {
    this.#isWaiting = false;
    this.#tell();
  };

  /** Everything that one commit settles is told at once. */
  #tell(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    queueMicrotask(() => {
      this.#isTelling = false;
      const { nextLine } = this.#parts.log.durable;
      if (nextLine > this.#countedLine) {
        this.#parts.stored(nextLine - this.#countedLine);
        this.#countedLine = nextLine;
      }
      this.#parts.changed();
    });
  }
}

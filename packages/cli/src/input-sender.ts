import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { InputRefusalSchema } from "@signalbox/protocol";
import type { Room } from "./room.ts";

/** What the server takes at a time, bytes. */
export const pieceBytes = 64 * 1024;
/** The server itself waits 10 s for room. */
const pieceTimeoutMs = 30_000;
const longestWaitMs = 5_000;

/** What is to be sent, and where it begins in the attempt's input. */
export interface InputPiece {
  readonly offset: bigint;
  readonly data: Uint8Array;
  readonly eof: boolean;
}

/** Hears why a piece is not stored yet, and for how long. */
export type OnWait = (why: string, ms: number) => void;

/**
 * Sends pieces into one attempt of a job. Each is sent for its place, so that it can be sent again when an answer was lost, and is stored
 * once; while the job leaves what was sent lying, sending waits.
 */
export class InputSender {
  readonly #room: Room;
  readonly #jobId: string;
  readonly #signal: AbortSignal;
  readonly #onWait: OnWait;
  readonly attempt: number;

  constructor(room: Room, jobId: string, attempt: number, { signal, onWait }: { signal: AbortSignal; onWait: OnWait }) {
    this.#room = room;
    this.#jobId = jobId;
    this.attempt = attempt;
    this.#signal = signal;
    this.#onWait = onWait;
  }

  /**
   * Sends a piece and resolves with the end of the input when it is stored, however long the server is away. Throws ConnectError when it is
   * refused: see {@link movedTo}; what the signal aborts with.
   */
  async send({ offset, data, eof }: InputPiece): Promise<bigint> {
    const since = performance.now();
    for (let failures = 0; ; failures++) {
      try {
        const request = { jobId: this.#jobId, attempt: this.attempt, offset, data, eof };
        const { nextOffset } = await this.#room.jobs.sendInput(request, {
          timeoutMs: pieceTimeoutMs,
          signal: this.#signal,
        });
        return nextOffset;
      } catch (error) {
        this.#signal.throwIfAborted();
        const { code } = ConnectError.from(error);
        // A connection that was reset is Aborted, too; a server that says so names the place to go on from.
        const isReset = code === Code.Aborted && movedTo(error) === undefined;
        if (!passing.has(code) && !isReset) throw error;
        const isFull = code === Code.ResourceExhausted;
        this.#onWait(
          isFull ? "the job leaves lying what was sent" : "the server cannot be reached",
          performance.now() - since,
        );
        const waitMs = Math.min(longestWaitMs, 250 * 2 ** Math.min(failures, 10));
        await delay(waitMs, undefined, { signal: this.#signal });
      }
    }
  }
}

/** Where the input ends, if a piece was refused because it did not begin there. */
export function movedTo(error: unknown): bigint | undefined {
  const refusal = ConnectError.from(error);
  return refusal.code === Code.Aborted ? refusal.findDetails(InputRefusalSchema)[0]?.nextOffset : undefined;
}

/** The same piece may go through a moment later: a lost link, or no room at present. */
const passing: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.Canceled,
  Code.DeadlineExceeded,
  Code.ResourceExhausted,
]);

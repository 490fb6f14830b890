import { Code, ConnectError, type Client } from "@connectrpc/connect";
import { InputRefusalSchema, type JobService } from "@signalbox/protocol";
import { backOffMs } from "../live/back-off.ts";

/** Bytes of one piece at most. */
const largestPiece = 64 * 1024;
/** A piece is tried so often before the text is given back. */
const mostTries = 5;

/**
 * Sends what is typed into one attempt, in order. Each piece goes to the offset that the server named, so that one which is sent again
 * after a lost answer is stored once. Not to be called again before the promise of the call before has settled.
 */
export class InputSender {
  readonly #client: Client<typeof JobService>;
  readonly #jobId: string;
  readonly #attempt: number;
  readonly #leave = new AbortController();
  /** What was given back without an answer: its bytes, how many of them are stored for sure, and where the rest would stand. */
  #lost: { readonly bytes: Uint8Array; readonly at: number; readonly offset: bigint } | undefined;

  constructor(client: Client<typeof JobService>, jobId: string, attempt: number) {
    this.#client = client;
    this.#jobId = jobId;
    this.#attempt = attempt;
  }

  /**
   * Stores `bytes` behind what was sent before; with `eof` nothing follows. Resolves with the end of the input. Rejects with a
   * ConnectError when the server refuses, or could not be reached for several tries: the same bytes can then be sent again and are not
   * doubled.
   */
  async send(bytes: Uint8Array, eof = false): Promise<bigint> {
    const again = this.#lost && sameBytes(this.#lost.bytes, bytes) ? this.#lost : undefined;
    this.#lost = undefined;
    let at = again?.at ?? 0;
    // Not where our own last piece ended: somebody else may have sent the same words since.
    let offset = again?.offset ?? (await this.#store(new Uint8Array(), false, undefined));
    do {
      const piece = bytes.subarray(at, at + largestPiece);
      try {
        offset = await this.#store(piece, eof && at + piece.length >= bytes.length, offset);
      } catch (error) {
        if (isLost(ConnectError.from(error))) this.#lost = { bytes, at, offset };
        throw error;
      }
      at += piece.length;
    } while (at < bytes.length);
    return offset;
  }

  /** Gives up what is on its way. */
  close(): void {
    this.#leave.abort();
  }

  /** Stores a piece at `offset` and returns where the next one goes. Without an offset and with no data it only asks for that. */
  async #store(data: Uint8Array, eof: boolean, offset: bigint | undefined): Promise<bigint> {
    let at = offset;
    for (let tries = 1; ; tries++) {
      try {
        return await this.#call(data, eof, at);
      } catch (error) {
        const refusal = ConnectError.from(error);
        if (tries >= mostTries || this.#leave.signal.aborted) throw refusal;
        // Somebody else was first: other bytes than ours stand at this offset, so ours are nowhere yet.
        const next = refusal.findDetails(InputRefusalSchema)[0]?.nextOffset;
        if (refusal.code === Code.Aborted && next !== undefined) at = next;
        else if (isLost(refusal)) await wait(backOffMs(tries, Math.random()), this.#leave.signal);
        else throw refusal;
      }
    }
  }

  async #call(data: Uint8Array, eof: boolean, offset: bigint | undefined): Promise<bigint> {
    const { nextOffset } = await this.#client.sendInput(
      { jobId: this.#jobId, attempt: this.#attempt, data, eof, ...(offset === undefined ? {} : { offset }) },
      { signal: this.#leave.signal },
    );
    return nextOffset;
  }
}

/** Whether the answer is missing rather than no. */
function isLost({ code }: ConnectError): boolean {
  return code === Code.Unavailable || code === Code.Unknown || code === Code.DeadlineExceeded;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

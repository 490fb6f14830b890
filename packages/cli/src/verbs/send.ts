import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { InputRefusalSchema, type SendInputResponse } from "@signalbox/protocol";
import { bytes, duration } from "@signalbox/protocol/format";
import { explain } from "../explain.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { resolveJob } from "../resolve-job.ts";
import type { Room } from "../room.ts";
import { sanitise } from "../sanitise.ts";

export interface SendOptions {
  readonly eof?: boolean;
  readonly newline: boolean;
}

/** What the server takes at a time, bytes. */
const pieceBytes = 64 * 1024;
/** The server itself waits 10 s for room. */
const pieceTimeoutMs = 30_000;
const longestWaitMs = 5_000;

/** Sends a text, or else standard input, into a running job; with `eof` ends its input. */
export async function send(
  invocation: Invocation,
  ref: string,
  text: string | undefined,
  options: SendOptions,
): Promise<number> {
  const { out } = invocation;
  const room = await invocation.room();
  const { job } = await resolveJob(room, ref);
  const input = new Input(invocation, room, job.id, sanitise(job.name));
  await input.open();
  if (text !== undefined) await input.write(Buffer.from(options.newline ? `${text}\n` : text));
  else if (!process.stdin.isTTY || !options.eof) {
    if (process.stdin.isTTY) out.note("What you type goes into the job, line by line; Ctrl+D ends.");
    for await (const part of process.stdin) await input.write(part as Uint8Array);
  }
  if (options.eof) await input.end();
  if (out.json) await out.object({ jobId: job.id, attempt: input.attempt, nextOffset: String(input.offset) });
  else out.note(`${sanitise(job.name)}: ${bytes(input.sentBytes)} sent${options.eof ? ", input ended" : ""}`);
  return exitCodes.ok;
}

/**
 * The end of one attempt's input. Each piece is sent for its place, so that it can be sent again when an answer was lost, and is stored
 * once; while the job leaves what was sent lying, writing waits.
 */
class Input {
  readonly #invocation: Invocation;
  readonly #room: Room;
  readonly #jobId: string;
  readonly #name: string;
  attempt = 0;
  /** Where the next piece begins. */
  offset = 0n;
  sentBytes = 0;

  constructor(invocation: Invocation, room: Room, jobId: string, name: string) {
    this.#invocation = invocation;
    this.#room = room;
    this.#jobId = jobId;
    this.#name = name;
  }

  /** Asks where the input ends. Throws CliError if the job takes none. */
  async open(): Promise<void> {
    const answer = await this.#room.call("Nothing sent", () => this.#room.jobs.sendInput({ jobId: this.#jobId }));
    this.attempt = answer.attempt;
    this.offset = answer.nextOffset;
  }

  /** Sends bytes, in pieces. Throws CliError; what was sent before stands. */
  async write(data: Uint8Array): Promise<void> {
    for (let from = 0; from < data.length; from += pieceBytes) {
      const piece = data.subarray(from, from + pieceBytes);
      await this.#send(piece, false);
      this.sentBytes += piece.length;
      this.#invocation.interruptedNote = `${bytes(this.sentBytes)} were sent and stay sent.`;
      this.#invocation.out.status(`${this.#name}: ${bytes(this.sentBytes)} sent`);
    }
  }

  /** Ends the input. */
  async end(): Promise<void> {
    await this.#send(new Uint8Array(), true);
  }

  async #send(data: Uint8Array, eof: boolean): Promise<void> {
    const { signal, out } = this.#invocation;
    const since = performance.now();
    for (let failures = 0; ; failures++) {
      try {
        const answer: SendInputResponse = await this.#room.jobs.sendInput(
          { jobId: this.#jobId, attempt: this.attempt, offset: this.offset, data, eof },
          { timeoutMs: pieceTimeoutMs },
        );
        this.offset = answer.nextOffset;
        return;
      } catch (error) {
        const refusal = ConnectError.from(error);
        const [moved] = refusal.findDetails(InputRefusalSchema);
        // Somebody else has sent something meanwhile: ours goes behind it.
        if (refusal.code === Code.Aborted && moved) this.offset = moved.nextOffset;
        else if (!isPassing(refusal)) throw this.#failed(error);
        else {
          const why =
            refusal.code === Code.ResourceExhausted
              ? "the job leaves lying what was sent"
              : "the server cannot be reached";
          out.status(
            `${this.#name}: ${bytes(this.sentBytes)} sent; ${why} for ${duration(performance.now() - since)}, trying again`,
          );
          await delay(Math.min(longestWaitMs, 250 * 2 ** Math.min(failures, 10)), undefined, { signal });
        }
      }
    }
  }

  #failed(error: unknown): CliError {
    const explained = explain(
      error,
      this.#room.address,
      this.sentBytes === 0 ? "Nothing sent" : "The rest was not sent",
    );
    const hint = this.sentBytes === 0 ? explained.hint : `${bytes(this.sentBytes)} were sent before.`;
    return new CliError(explained.exitCode, explained.message, hint, { cause: error });
  }
}

/** Whether the same piece may go through a moment later: a lost link, or no room at present. */
function isPassing({ code }: ConnectError): boolean {
  return [Code.Unavailable, Code.Canceled, Code.DeadlineExceeded, Code.ResourceExhausted].includes(code);
}

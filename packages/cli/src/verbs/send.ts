import { bytes, duration } from "@signalbox/protocol/format";
import { explain } from "../explain.ts";
import { CliError, exitCodes, usageError } from "../exit-codes.ts";
import { InputSender, movedTo, pieceBytes } from "../input-sender.ts";
import { openInput } from "../input-source.ts";
import type { Invocation } from "../invocation.ts";
import { resolveJob } from "../resolve-job.ts";
import type { Room } from "../room.ts";
import { sanitise } from "../sanitise.ts";
import { untakenWords } from "../taken-input.ts";
import { sendCommand, sentWords, Upload } from "../upload.ts";

export interface SendOptions {
  readonly eof?: boolean;
  readonly newline: boolean;
  /** A file, of which the job may have the beginning. */
  readonly input?: string;
}

/** Sends a text, or else standard input, into a running job; with `eof` ends its input. */
export async function send(
  invocation: Invocation,
  ref: string,
  text: string | undefined,
  options: SendOptions,
): Promise<number> {
  const { out } = invocation;
  if (options.input !== undefined && text !== undefined) throw usageError("Give a text or --input, not both.");
  if (options.input !== undefined) return sendFile(invocation, ref, options.input);
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
  if (out.json) {
    await out.object({ jobId: job.id, attempt: input.attempt, nextOffset: String(input.offset) });
    return exitCodes.ok;
  }
  const { attempt, offset, sentBytes: sent } = input;
  const untaken = out.quiet
    ? ""
    : await untakenWords(room, { jobId: job.id, attempt, offset, sent }, invocation.signal);
  const more = `${options.eof ? ", input ended" : ""}${untaken && `; ${untaken}`}`;
  out.note(`${sanitise(job.name)}: ${bytes(sent)} sent${more}`);
  return exitCodes.ok;
}

/** Sends the rest of a file into a job that has its beginning, and ends its input. */
async function sendFile(invocation: Invocation, ref: string, path: string): Promise<number> {
  const { out, signal } = invocation;
  const source = await openInput(path);
  try {
    if (!source.isRepeatable || source.total === undefined)
      throw usageError(`--input takes a file, and ${source.name} is none.`, "Send it with: signalbox send JOB --eof");
    const room = await invocation.room();
    const { job } = await resolveJob(room, ref);
    const name = sanitise(job.name);
    const { attempt, nextOffset } = await room.call("Nothing sent", () => room.jobs.sendInput({ jobId: job.id }));
    const from = Number(nextOffset);
    if (from > source.total)
      throw new CliError(
        exitCodes.failed,
        `Nothing sent: ${name} has ${bytes(from)} of input already, and ${source.name} has ${bytes(source.total)}.`,
        "What the job has is not the beginning of this file.",
      );
    if (from > 0) out.note(`${name} has ${bytes(from)} of its input: what follows on that in ${source.name} is sent.`);
    const draw = (more = "") => out.status(`${name}: sent ${sentWords(upload.sent, source.total)}${more}`);
    const upload = new Upload(room, job, source, {
      onSent: () => {
        invocation.interruptedNote = `The job waits for the rest. Go on with: ${sendCommand(job.id, path)}`;
        draw();
      },
      onWait: (why, ms) => draw(`; ${why} for ${duration(ms)}, trying again`),
      onNote: (note) => out.note(note),
    });
    if (!(await upload.goOn(attempt, from, signal)))
      throw new CliError(
        exitCodes.failed,
        `The rest was not sent: attempt ${attempt} is over.`,
        `It had ${sentWords(upload.sent, source.total)}.`,
      );
    if (out.json) await out.object({ jobId: job.id, attempt, nextOffset: String(upload.sent) });
    else {
      const sent = { jobId: job.id, attempt, offset: BigInt(upload.sent), sent: upload.sent - from };
      const untaken = out.quiet ? "" : await untakenWords(room, sent, signal);
      out.note(`${name}: ${bytes(sent.sent)} sent, input ended${untaken && `; ${untaken}`}`);
    }
    return exitCodes.ok;
  } finally {
    await source.close();
  }
}

/** The end of one attempt's input: what is written goes behind what others have sent. */
class Input {
  readonly #invocation: Invocation;
  readonly #room: Room;
  readonly #jobId: string;
  readonly #name: string;
  #sender: InputSender | undefined;
  /** Where the next piece begins. */
  offset = 0n;
  sentBytes = 0;

  constructor(invocation: Invocation, room: Room, jobId: string, name: string) {
    this.#invocation = invocation;
    this.#room = room;
    this.#jobId = jobId;
    this.#name = name;
  }

  /** The attempt that gets it. */
  get attempt(): number {
    return this.#sender?.attempt ?? 0;
  }

  /** Asks where the input ends. Throws CliError if the job takes none. */
  async open(): Promise<void> {
    const answer = await this.#room.call("Nothing sent", () => this.#room.jobs.sendInput({ jobId: this.#jobId }));
    const { signal, out } = this.#invocation;
    this.#sender = new InputSender(this.#room, this.#jobId, answer.attempt, {
      signal,
      onWait: (why, ms) =>
        out.status(`${this.#name}: ${bytes(this.sentBytes)} sent; ${why} for ${duration(ms)}, trying again`),
    });
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
    if (!this.#sender) throw new Error("the input was not opened");
    for (;;) {
      try {
        this.offset = await this.#sender.send({ offset: this.offset, data, eof });
        return;
      } catch (error) {
        const moved = movedTo(error);
        if (moved === undefined) throw this.#failed(error);
        // Somebody else has sent something meanwhile: ours goes behind it.
        this.offset = moved;
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

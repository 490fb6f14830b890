import { Code, ConnectError } from "@connectrpc/connect";
import type { Attempt, JobRecord } from "@signalbox/protocol";
import { bytes, percent, shellWords } from "@signalbox/protocol/format";
import { currentAttempt } from "@signalbox/protocol/job-state";
import { explain } from "./explain.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { InputSender, movedTo, pieceBytes, type OnWait } from "./input-sender.ts";
import type { InputSource } from "./input-source.ts";
import type { Room } from "./room.ts";

/** So many pieces may be on their way at a time. */
const mostAhead = 4;
/** How many more with each one that is stored. */
const widening = 1 / 8;

/** A piece on its way. */
interface Flight {
  readonly eof: boolean;
  /** Nothing else was on its way when it began: what it is told of the input's end is so. */
  readonly isAlone: boolean;
  readonly outcome: Promise<Outcome>;
}

/** Where the input ends now, or why the piece was not stored. */
type Outcome = { readonly end: number; readonly error?: never } | { readonly end?: never; readonly error: unknown };

/** What an upload tells. */
export interface UploadEvents {
  /** Something has been stored, or the upload begins anew. */
  onSent(): void;
  readonly onWait: OnWait;
  /** What people should know. */
  onNote(text: string): void;
}

/**
 * Sends an input into a job, from its first byte into each attempt that begins: an attempt has nothing of what was sent to the one before.
 */
export class Upload {
  readonly #room: Room;
  readonly #source: InputSource;
  readonly #events: UploadEvents;
  #job: JobRecord;
  #heard = Promise.withResolvers<void>();
  /** Looks at the job when it has changed. */
  #look: () => void = () => undefined;
  #attempt = 0;
  #sent = 0;

  constructor(room: Room, job: JobRecord, source: InputSource, events: UploadEvents) {
    this.#room = room;
    this.#job = job;
    this.#source = source;
    this.#events = events;
  }

  /** The attempt that it is sent to; 0 before the first. */
  get attempt(): number {
    return this.#attempt;
  }

  /** How much of it the server has for that attempt, bytes. */
  get sent(): number {
    return this.#sent;
  }

  /** The job has changed. */
  hear(job: JobRecord): void {
    this.#job = job;
    this.#look();
    this.#heard.resolve();
    this.#heard = Promise.withResolvers();
  }

  /** Sends until `signal` aborts, and throws what it aborts with. Throws CliError if the input cannot be sent. */
  async run(signal: AbortSignal): Promise<never> {
    for (;;) {
      const { number } = await this.#next(signal);
      const isAgain = this.#attempt > 0;
      this.#attempt = number;
      this.#sent = 0;
      if (isAgain) this.#again(number);
      this.#events.onSent();
      await this.#sendAll(number, signal);
    }
  }

  /**
   * Sends into an attempt what it does not have yet: its input ends at `from`. Resolves with whether it has all of it, false if it is over
   * before. Throws CliError if the input cannot be sent.
   */
  async goOn(attempt: number, from: number, signal: AbortSignal): Promise<boolean> {
    this.#attempt = attempt;
    this.#sent = from;
    return this.#sendAll(attempt, signal);
  }

  /** The next attempt that has begun. */
  #next(signal: AbortSignal): Promise<Attempt> {
    return this.#until(signal, () => {
      const attempt = currentAttempt(this.#job);
      return attempt && attempt.number > this.#attempt && attempt.startedAtUs > 0n ? attempt : undefined;
    });
  }

  /** Looks at the job whenever it has changed, until there is something to see. */
  async #until<T>(signal: AbortSignal, look: () => T | undefined): Promise<T> {
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    aborted.catch(() => undefined);
    for (;;) {
      signal.throwIfAborted();
      const seen = look();
      if (seen !== undefined) return seen;
      await Promise.race([this.#heard.promise, aborted]);
    }
  }

  #again(number: number): void {
    const { name, isRepeatable } = this.#source;
    if (!isRepeatable)
      throw new CliError(
        exitCodes.failed,
        `Attempt ${number} has nothing of what was sent, and ${name} cannot be read again.`,
        `The job waits for its input. Send it with: signalbox send ${this.#job.id} --eof. End the job with: signalbox cancel ${this.#job.id}.`,
      );
    this.#events.onNote(`Attempt ${number} has nothing of what was sent: sending ${name} again from its first byte.`);
  }

  /** Sends the rest of it into one attempt, and resolves with true; or what that takes before it is over. */
  async #sendAll(attempt: number, signal: AbortSignal): Promise<boolean> {
    const sender = new InputSender(this.#room, this.#job.id, attempt, { signal, onWait: this.#events.onWait });
    // What can be read again may be sent ahead of the answers; where that goes wrong, one piece alone shows how far the server is.
    const widest = this.#source.isRepeatable ? mostAhead : 1;
    let width = 1;
    let flights: Flight[] = [];
    let next = this.#sent;
    let isRead = false;
    let short: Uint8Array | undefined;
    for (;;) {
      while (!isRead && flights.length < Math.floor(width)) {
        const data: Uint8Array | undefined = short ?? (await this.#read(attempt, next));
        if (!data) return false;
        // A short piece would overtake the long ones before it on the way.
        short = data.length < pieceBytes && flights.length > 0 ? data : undefined;
        if (short) break;
        isRead = data.length === 0;
        const sending = sender.send({ offset: BigInt(next), data, eof: isRead });
        flights.push({ eof: isRead, isAlone: flights.length === 0, outcome: outcomeOf(sending) });
        next += data.length;
      }
      const flight = flights.shift();
      if (!flight) return false;
      const { end, error } = await flight.outcome;
      if (end !== undefined) {
        this.#sent = end;
        width = Math.min(widest, width + widening);
        if (flight.eof) return true;
      } else {
        signal.throwIfAborted();
        const moved = movedTo(error);
        if (moved === undefined) {
          if (await this.#isOver(attempt, error)) return false;
          throw this.#refused(error);
        }
        await Promise.all(flights.map(({ outcome }) => outcome));
        if (flight.isAlone) this.#move(Number(moved));
        flights = [];
        next = this.#sent;
        isRead = false;
        short = undefined;
        width = 1;
      }
      this.#events.onSent();
    }
  }

  /** What comes next; undefined if the attempt is over before: whoever types takes his time. */
  #read(attempt: number, offset: number): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      this.#look = () => {
        if (currentAttempt(this.#job)?.number !== attempt) resolve(undefined);
      };
      this.#source.read(offset).then(resolve, reject);
      this.#look();
    });
  }

  /** The server's input ends elsewhere than ours. */
  #move(end: number): void {
    if (end > this.#sent)
      throw new CliError(
        exitCodes.failed,
        `The rest was not sent: somebody else has sent something into the job, between the bytes of ${this.#source.name}.`,
        `${bytes(this.#sent)} were sent before, and the job waits for more.`,
      );
    // Its store was set back.
    this.#sent = end;
  }

  /** Whether a refusal only says that the attempt is over. */
  async #isOver(attempt: number, error: unknown): Promise<boolean> {
    if (ConnectError.from(error).code !== Code.FailedPrecondition) return false;
    const { job } = await this.#room.call("", () => this.#room.jobs.getJob({ jobId: this.#job.id }));
    return currentAttempt(job ?? this.#job)?.number !== attempt;
  }

  #refused(error: unknown): CliError {
    const explained = explain(error, this.#room.address, "The rest was not sent");
    return new CliError(explained.exitCode, explained.message, `${bytes(this.#sent)} were sent before.`, {
      cause: error,
    });
  }
}

/** `3.1 MB of 9.4 MB (33.1 %)`: how much of an input is sent, as far as it is known how long it is. */
export function sentWords(sent: number, total: number | undefined): string {
  return total ? `${bytes(sent)} of ${bytes(total)} (${percent(sent / total)})` : bytes(sent);
}

/** The command that goes on sending a file, as a shell reads it. */
export function sendCommand(jobId: string, path: string): string {
  return shellWords(["signalbox", "send", jobId, "--input", path]);
}

/** Waits for an answer that may be looked at later. */
function outcomeOf(sending: Promise<bigint>): Promise<Outcome> {
  return sending.then(
    (end) => ({ end: Number(end) }),
    (error: unknown) => ({ error }),
  );
}

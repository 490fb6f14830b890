import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { InputEntrySchema, InputRefusalSchema, type Actor } from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import { Refused } from "../refused.ts";
import { Conflict, Fenced, UnknownOutcome, type Journal, type Position, type TopicWriter } from "../store/store.ts";

/** The largest piece that is sent, stored and delivered. */
export const largestPieceBytes = 64 * 1024;
/** What may lie in an attempt's input that its job has not taken. */
export const inputBoundBytes = 1024 * 1024;
/** So many senders may wait for room in one attempt's input. */
const mostWaiting = 64;
const tries = 5;

/** The topics of all inputs start with this. */
export const inputTopicPrefix = "input/";

/** The topic of an attempt's input. The mark of an entry is the offset of its end. */
export function inputTopic(jobId: string, attempt: number): string {
  return `${inputTopicPrefix}${jobId}/${attempt}`;
}

/** What somebody sends. */
export interface InputPiece {
  /** Where `data` begins; undefined: at the end, whatever was sent before. */
  readonly offset: number | undefined;
  readonly data: Uint8Array;
  readonly eof: boolean;
}

/** Where an input ends: all of it is on disk. */
export interface InputEnd {
  readonly end: number;
  /** Nothing can follow. */
  readonly isClosed: boolean;
}

/** What a door stands on. */
export interface InputDoorParts {
  readonly journal: Journal;
  readonly clock: Clock;
  /** How long a sender waits for room, milliseconds. */
  readonly roomWithinMs: number;
}

/**
 * The door of one attempt's input: the one place that decides what may be appended. Pieces are accepted one after the other, each at the
 * end of the one before; many may be on their way to the disk.
 */
export class InputDoor {
  readonly jobId: string;
  readonly attempt: number;
  readonly topic: string;
  readonly #parts: InputDoorParts;
  #stored: InputEnd;
  /** Where the input ends once all that is on its way to the disk is there. */
  #accepted: InputEnd;
  #taken: number;
  #writer: TopicWriter | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** The newest append: with it all before it are settled. */
  #appended: Promise<void> = Promise.resolve();
  readonly #over = new AbortController();
  readonly #waiting = new Set<() => void>();
  /** Where the pieces with a place begin that are being sent. */
  readonly #coming = new Set<{ readonly from: number }>();
  readonly #listeners = new Set<() => void>();

  /** `stored` is where the topic ends, `taken` what the job was last known to have. */
  constructor(
    parts: InputDoorParts,
    jobId: string,
    attempt: number,
    stored: InputEnd = { end: 0, isClosed: false },
    taken = 0,
  ) {
    this.jobId = jobId;
    this.attempt = attempt;
    this.topic = inputTopic(jobId, attempt);
    this.#parts = parts;
    this.#stored = this.#accepted = stored;
    this.#taken = Math.min(taken, stored.end);
  }

  /** What is on disk. */
  get stored(): InputEnd {
    return this.#stored;
  }

  /** All bytes below are with the job, as far as is known. */
  get taken(): number {
    return this.#taken;
  }

  /** The attempt has ended. */
  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** Calls `listener` after each change. Returns what removes it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The job has all bytes below `offset`; more than is stored counts as all that is. A worker that came again may have less than before. */
  setTaken(offset: number): void {
    const taken = Math.min(offset, this.#stored.end);
    if (taken === this.#taken) return;
    this.#taken = taken;
    this.#lookAgain();
    this.#changed();
  }

  /**
   * Stores a piece and resolves with the end of the input when it is durable. What is stored already is not stored again. Waits for
   * room, and for pieces before it that are being sent: who sends ahead need not know which of them waits. Throws Refused; what `signal`
   * aborts with; UnknownOutcome.
   */
  async send(piece: InputPiece, actor: Actor, signal: AbortSignal): Promise<number> {
    if (piece.offset === undefined) return this.#send(piece, actor, signal);
    const coming = { from: piece.offset };
    this.#coming.add(coming);
    try {
      return await this.#send(piece, actor, signal);
    } finally {
      this.#coming.delete(coming);
      this.#lookAgain();
    }
  }

  async #send(piece: InputPiece, actor: Actor, signal: AbortSignal): Promise<number> {
    let late: AbortSignal | undefined;
    let from = piece.offset;
    for (let attempt = 1; ;) {
      signal.throwIfAborted();
      const step = await this.#inTurn(() => this.#accept(piece, from, actor));
      if ("isReady" in step) {
        late ??= AbortSignal.timeout(this.#parts.roomWithinMs);
        await this.#until(step.isReady, late, signal);
        continue;
      }
      try {
        await step.durable;
        return this.#stored.end;
      } catch (error) {
        if (error instanceof Fenced) throw this.#attemptOver();
        if (!(error instanceof Conflict || error instanceof UnknownOutcome) || attempt++ >= tries) throw error;
        // Somebody else's piece was first: this one goes after it. If it is not known whose, what is stored there will tell.
        from = error instanceof Conflict ? piece.offset : step.from;
      }
    }
  }

  /** The attempt has ended: whoever waits is refused. Resolves when nothing is being appended any more. */
  async close(): Promise<void> {
    this.#over.abort();
    this.#changed();
    await this.#turn;
    await this.#appended.catch(() => undefined); // Its sender hears of it.
  }

  /** Appends what is new in a piece at the end of what was accepted, unless it has to wait. */
  async #accept(
    { offset, data, eof }: InputPiece,
    wanted: number | undefined,
    actor: Actor,
  ): Promise<{ readonly isReady: () => boolean } | { readonly from: number; readonly durable: Promise<void> }> {
    this.#assertNotOver();
    const writer = (this.#writer ??= await this.#open());
    // Only what is on disk can be compared.
    if (wanted !== undefined && wanted < this.#accepted.end && this.#accepted !== this.#stored) {
      await this.#appended.catch(() => undefined); // Its sender hears of it.
      return this.#accept({ offset, data, eof }, wanted, actor);
    }
    const { end, isClosed } = this.#accepted;
    if (isClosed && wanted === undefined) throw this.#ended();
    // Where a piece without a place was tried before is no place that its sender knows: if it is not there, it goes to the end.
    const from = wanted === undefined || (offset === undefined && !(await this.#isAt(wanted, data))) ? end : wanted;
    if (this.#isBehind(from)) return { isReady: () => !this.#isBehind(from) };
    const fresh = await this.#fresh(from, data);
    const goesTo = from + data.length;
    if (fresh.length === 0 && (!eof || (isClosed && goesTo === end))) return { from, durable: this.#appended };
    if (eof && goesTo < end) throw this.#refusal(`the input goes on after offset ${goesTo}`);
    if (isClosed) throw this.#ended();
    if (!this.#hasRoom(fresh.length)) return { isReady: () => this.#hasRoom(fresh.length) };
    const atUs = BigInt(this.#parts.clock());
    const entry = create(InputEntrySchema, { offset: BigInt(end), data: fresh, eof, atUs, actor });
    const accepted = (this.#accepted = { end: goesTo, isClosed: eof });
    this.#appended = writer.append(toBinary(InputEntrySchema, entry), goesTo).then(
      () => {
        this.#stored = accepted;
        // One behind it has failed before this was known, and the input was opened anew.
        if (accepted.end > this.#accepted.end) this.#accepted = accepted;
        this.#changed();
      },
      (error: unknown) => {
        // Those behind it fail with it; the next one reads where the input ends.
        if (this.#writer === writer) {
          this.#writer = undefined;
          this.#accepted = this.#stored;
          this.#lookAgain();
        }
        throw error;
      },
    );
    this.#lookAgain();
    return { from, durable: this.#appended };
  }

  /** What of `data` at `from` was not accepted. Throws Refused if it begins beyond the end, or if something else is stored there. */
  async #fresh(from: number, data: Uint8Array): Promise<Uint8Array> {
    const { end } = this.#accepted;
    if (from > end) throw this.#refusal(`it begins at offset ${from}`);
    const known = Math.min(end - from, data.length);
    if (known > 0 && !(await this.#holds(from, data.subarray(0, known))))
      throw this.#refusal(`other bytes are stored from offset ${from} on`);
    return data.subarray(known);
  }

  /** Whether a piece that was tried at a place is stored there, as a whole. */
  async #isAt(from: number, data: Uint8Array): Promise<boolean> {
    return from + data.length <= this.#accepted.end && this.#holds(from, data);
  }

  /** Whether exactly these bytes are stored from `from` on. */
  async #holds(from: number, bytes: Uint8Array): Promise<boolean> {
    const { journal } = this.#parts;
    let position: Position = await journal.find(this.topic, from);
    for (let at = from; at < from + bytes.length;) {
      const entries = await journal.read(this.topic, position, { maxBytes: largestPieceBytes });
      if (entries.length === 0) return false;
      for (const entry of entries) {
        const { offset, data } = fromBinary(InputEntrySchema, entry.data);
        const stored = data.subarray(at - Number(offset));
        const wanted = bytes.subarray(at - from, at - from + stored.length);
        if (Buffer.compare(stored.subarray(0, wanted.length), wanted) !== 0) return false;
        at += wanted.length;
        ({ position } = entry);
      }
    }
    return true;
  }

  async #open(): Promise<TopicWriter> {
    try {
      const writer = await this.#parts.journal.open(this.topic);
      if (writer.opened) {
        this.#stored = readInputEnd(writer.opened.data);
        this.#changed();
      }
      this.#accepted = this.#stored;
      this.#appended = Promise.resolve();
      return writer;
    } catch (error) {
      throw error instanceof Fenced ? this.#attemptOver() : error;
    }
  }

  #hasRoom(bytes: number): boolean {
    return bytes === 0 || this.#accepted.end + bytes - this.#taken <= inputBoundBytes;
  }

  /** Whether a piece begins beyond the end, and others that are being sent may still bring what lies between. */
  #isBehind(from: number): boolean {
    return from > this.#accepted.end && [...this.#coming].some((each) => each.from < from);
  }

  /** Those that wait look whether they still have to. */
  #lookAgain(): void {
    for (const look of [...this.#waiting]) look();
  }

  /** Resolves when a piece need not wait. Throws Refused when `late` aborts or the attempt ends, and what `signal` aborts with. */
  async #until(isReady: () => boolean, late: AbortSignal, signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= mostWaiting)
      throw new Refused(
        "exhausted",
        `The input was not stored: ${mostWaiting} requests wait already for job ${this.jobId} to take some of it.`,
      );
    const given = AbortSignal.any([signal, late, this.#over.signal]);
    await new Promise<void>((resolve) => {
      const look = () => {
        if (!given.aborted && !isReady()) return;
        this.#waiting.delete(look);
        given.removeEventListener("abort", look);
        resolve();
      };
      this.#waiting.add(look);
      given.addEventListener("abort", look, { once: true });
      look();
    });
    signal.throwIfAborted();
    this.#assertNotOver();
    if (late.aborted && !isReady())
      throw new Refused(
        "exhausted",
        `The input was not stored: for ${this.#parts.roomWithinMs / 1000} s job ${this.jobId} has left ${this.#stored.end - this.#taken} bytes of it lying, at most ${inputBoundBytes} are kept.`,
      );
  }

  #assertNotOver(): void {
    if (this.isOver) throw this.#attemptOver();
  }

  #attemptOver(): Refused {
    return new Refused(
      "wrong-state",
      `Attempt ${this.attempt} of job ${this.jobId} is over: nothing can be sent into it.`,
    );
  }

  #ended(): Refused {
    return new Refused("wrong-state", `The input of job ${this.jobId} was ended: nothing can follow.`);
  }

  #refusal(reason: string): Refused {
    const { end } = this.#stored;
    return new Refused(
      "stale",
      `The input was not stored: ${reason}, and the input of job ${this.jobId} ends at ${end}. Go on from there.`,
      [{ desc: InputRefusalSchema, value: { nextOffset: BigInt(end) } }],
    );
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => undefined); // The caller gets the error from `turn`; the next one only waits for its turn.
    return turn;
  }
}

/** Where an input ends, from its newest stored entry. */
export function readInputEnd(entry: Uint8Array): InputEnd {
  const { offset, data, eof } = fromBinary(InputEntrySchema, entry);
  return { end: Number(offset) + data.length, isClosed: eof };
}

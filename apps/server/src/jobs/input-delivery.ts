import { create, fromBinary } from "@bufbuild/protobuf";
import { InputEntrySchema, InputSchema, type Input, type InputTaken } from "@signalbox/protocol";
import type { Journal, Position } from "../store/store.ts";
import { largestPieceBytes, type InputDoor } from "./input-door.ts";

/** What may be on its way to a worker, of each attempt: so much beyond what its job has taken. */
export const inputWindowBytes = 256 * 1024;

/** How far the input of one attempt was delivered. */
interface Reading {
  readonly door: InputDoor;
  readonly forget: () => void;
  /** The worker's word on this stream. */
  taken: number;
  /** The next byte to deliver. */
  offset: number;
  /** Where to read on; undefined until it was looked for. */
  position: Position | undefined;
  saidEof: boolean;
}

/**
 * Delivers inputs on one Connect stream: of each attempt of which the worker has said what its job has taken, what follows. It reads
 * from the journal when the stream can take more, so that a slow worker costs nothing. Attempts take turns.
 */
export class InputDelivery {
  readonly #journal: Journal;
  readonly #doorOf: (jobId: string, attempt: number) => InputDoor | undefined;
  readonly #readings = new Map<string, Reading>();
  /** Attempts that may have something to deliver. */
  readonly #due = new Set<string>();
  readonly #onReady: () => void;
  /** The next piece. No other is read while it is not taken. */
  #ready: Input | undefined;
  #failure: { readonly error: unknown } | undefined;
  #isReading = false;
  #isOpen = true;

  /** `doorOf` gives the input of an attempt if that runs in the worker's process. `onReady` is told that there is something to take. */
  constructor(
    journal: Journal,
    doorOf: (jobId: string, attempt: number) => InputDoor | undefined,
    onReady: () => void,
  ) {
    this.#journal = journal;
    this.#doorOf = doorOf;
    this.#onReady = onReady;
  }

  /** The worker says what a job has taken. The first word on a stream tells where delivery begins; after that it only goes forward. */
  heard({ jobId, attempt, offset }: InputTaken): void {
    const door = this.#isOpen ? this.#doorOf(jobId, attempt) : undefined;
    if (!door) return;
    const taken = Math.min(Number(offset), door.stored.end);
    const key = door.topic;
    let reading = this.#readings.get(key);
    if (!reading) {
      const forget = door.onChange(() => this.#look(key));
      reading = { door, forget, taken, offset: taken, position: undefined, saidEof: false };
      this.#readings.set(key, reading);
    }
    reading.taken = Math.max(reading.taken, taken);
    door.setTaken(reading.taken);
    this.#look(key);
  }

  /** The next piece to deliver; undefined if none is there at present. Throws what reading threw. */
  take(): Input | undefined {
    if (this.#failure) throw this.#failure.error;
    const ready = this.#ready;
    this.#ready = undefined;
    if (ready) void this.#readOn();
    return ready;
  }

  /** The stream has ended. */
  close(): void {
    this.#isOpen = false;
    for (const { forget } of this.#readings.values()) forget();
    this.#readings.clear();
    this.#due.clear();
  }

  #look(key: string): void {
    this.#due.add(key);
    void this.#readOn();
  }

  /** Reads until a piece is there, or nothing is due. */
  async #readOn(): Promise<void> {
    if (this.#isReading || this.#ready || this.#failure) return;
    this.#isReading = true;
    try {
      for (const key of this.#due) {
        this.#due.delete(key);
        const reading = this.#readings.get(key);
        this.#ready = reading && (await this.#next(reading));
        if (!this.#ready) continue;
        // Behind the others.
        this.#due.add(key);
        break;
      }
    } catch (error) {
      this.#failure = { error };
    }
    this.#isReading = false;
    if (this.#ready || this.#failure) this.#onReady();
  }

  /** The next piece of an input; undefined if there is nothing to deliver at present. */
  async #next(reading: Reading): Promise<Input | undefined> {
    const { door } = reading;
    if (door.isOver) {
      reading.forget();
      this.#readings.delete(door.topic);
      return undefined;
    }
    if (reading.offset < reading.taken) {
      reading.offset = reading.taken;
      reading.position = undefined;
    }
    const { offset } = reading;
    const most = Math.min(largestPieceBytes, reading.taken + inputWindowBytes - offset, door.stored.end - offset);
    const data = most > 0 ? await this.#read(reading, most) : new Uint8Array();
    const { end, isClosed } = door.stored;
    const eof = isClosed && reading.offset === end && !reading.saidEof;
    if (data.length === 0 && !eof) return undefined;
    reading.saidEof ||= eof;
    return create(InputSchema, { jobId: door.jobId, attempt: door.attempt, offset: BigInt(offset), data, eof });
  }

  /** Reads at most so many bytes, at least one, from small entries together. None if the attempt has ended meanwhile. */
  async #read(reading: Reading, most: number): Promise<Uint8Array> {
    const { door } = reading;
    const pieces: Uint8Array[] = [];
    let left = most;
    reading.position ??= await this.#journal.find(door.topic, reading.offset);
    while (pieces.length === 0) {
      const entries = await this.#journal.read(door.topic, reading.position, { maxBytes: largestPieceBytes });
      if (door.isOver) return new Uint8Array();
      if (entries.length === 0) throw new Error(`${door.topic} holds nothing at offset ${reading.offset}`);
      for (const { position, data } of entries) {
        const entry = fromBinary(InputEntrySchema, data);
        const skip = reading.offset - Number(entry.offset);
        if (skip < 0) throw new Error(`${door.topic} has a hole at offset ${reading.offset}`);
        const piece = entry.data.subarray(skip, skip + left);
        if (piece.length > 0) pieces.push(piece);
        reading.offset += piece.length;
        left -= piece.length;
        if (skip + piece.length < entry.data.length) break;
        reading.position = position;
      }
    }
    const [only] = pieces;
    return pieces.length === 1 && only ? only : Buffer.concat(pieces);
  }
}

import { create } from "@bufbuild/protobuf";
import {
  InputStateSchema,
  SendInputRequestSchema,
  type Actor,
  type ConsoleInput,
  type InputState,
} from "@signalbox/protocol";
import type { Inputs } from "../../jobs/inputs.ts";
import type { Job } from "../../jobs/job.ts";
import { pause } from "../../pause.ts";
import { Refused } from "../../refused.ts";
import { Wake } from "../../wake.ts";
import type { RateGate } from "./rate-gate.ts";

/** So many pieces of 64 KiB wait at most to be stored; beyond, nothing more of what the client says is read. */
const mostWaiting = 16;
const tellEveryMs = 16;

interface Waiting {
  readonly id: string;
  readonly piece: ConsoleInput;
}

/** What becomes of a piece. */
export interface InputAnswers {
  stored(id: string): void;
  /** `error` is why nothing of the piece was stored; `nextOffset` is where the next one begins. */
  refused(id: string, error: unknown, nextOffset: bigint): void;
}

/**
 * What a console sends into its job: pieces are stored in order, beside its other commands, while the job takes them. After a piece that
 * was refused none is stored that does not say where it belongs: the data shall have no hole.
 */
export class ConsoleInputs {
  readonly #inputs: Inputs;
  readonly #job: Job;
  readonly #takesInput: () => boolean;
  readonly #actor: Actor;
  readonly #answers: InputAnswers;
  readonly #queue: Waiting[] = [];
  readonly #arrived = new Wake();
  readonly #room = new Wake();
  readonly #changed = new Wake();
  #isStoring = false;
  #hasHole = false;
  /** The attempt that has the newest piece; 0: there is none. */
  #attempt = 0;
  #isAnswerDue = false;
  /** What is known of an input that was forgotten, and what was told. */
  #known: InputState | undefined;
  #told: InputState = create(InputStateSchema);

  constructor(inputs: Inputs, job: Job, takesInput: () => boolean, actor: Actor, answers: InputAnswers) {
    this.#inputs = inputs;
    this.#job = job;
    this.#takesInput = takesInput;
    this.#actor = actor;
    this.#answers = answers;
  }

  /** Takes a piece, and waits while too many are not stored yet. */
  async take(id: string, piece: ConsoleInput, signal: AbortSignal): Promise<void> {
    this.#queue.push({ id, piece });
    this.#arrived.notify();
    while (this.#queue.length >= mostWaiting && !signal.aborted) await this.#room.wait(signal);
  }

  /** Resolves when all pieces that were taken are stored or refused. */
  async settle(signal: AbortSignal): Promise<void> {
    while ((this.#isStoring || this.#queue.length > 0) && !signal.aborted) await this.#room.wait(signal);
  }

  /** Stores pieces as there is room for them. Yields nothing. */
  async *store(signal: AbortSignal): AsyncGenerator<never> {
    while (!signal.aborted) {
      const next = this.#queue.shift();
      if (!next) {
        await this.#arrived.wait(signal);
        continue;
      }
      this.#isStoring = true;
      try {
        await this.#send(next, signal);
      } finally {
        this.#isStoring = false;
        this.#room.notify();
      }
    }
    yield* [];
  }

  /** How far the input goes, whenever that changes: what is stored at once, what the job has taken as the rate allows. */
  async *states(gate: RateGate, signal: AbortSignal): AsyncGenerator<InputState> {
    const remove = this.#inputs.onChange((jobId) => {
      if (jobId !== this.#job.id) return;
      // With its attempt an input is forgotten, and nobody may have been told of its end by then.
      this.#known = this.#current() ?? this.#known;
      this.#changed.notify();
    });
    try {
      while (!signal.aborted) {
        const state = this.#state();
        if (state && this.#isNews(state)) gate.count(1);
        else if (state && state.taken !== this.#told.taken) (await gate.turn(signal))?.end(1);
        else {
          await this.#changed.wait(signal);
          continue;
        }
        this.#isAnswerDue = false;
        this.#told = this.#state() ?? state;
        yield this.#told;
        await pause(tellEveryMs, signal);
      }
    } finally {
      remove();
    }
  }

  /** How far the input went, if that was not told; for the end of a conversation. */
  untold(): InputState | undefined {
    const state = this.#state();
    return state && this.#isNews(state) ? state : undefined;
  }

  #isNews({ nextOffset, closed }: InputState): boolean {
    return this.#isAnswerDue || nextOffset !== this.#told.nextOffset || closed !== this.#told.closed;
  }

  async #send({ id, piece }: Waiting, signal: AbortSignal): Promise<void> {
    const hasPlace = piece.offset !== undefined;
    try {
      if (!hasPlace && this.#hasHole)
        throw new Refused(
          "stale",
          "The input was not stored: a piece before it was refused. Give its offset, so that nothing is missing between.",
        );
      const request = create(SendInputRequestSchema, {
        jobId: this.#job.id,
        // What has no place goes behind the pieces before it, not into another attempt.
        attempt: hasPlace || this.#hasHole ? 0 : this.#attempt,
        data: piece.data,
        eof: piece.eof,
        ...(hasPlace ? { offset: piece.offset } : {}),
      });
      const { attempt } = await this.#inputs.send(this.#job, this.#takesInput(), request, this.#actor, signal);
      this.#attempt = attempt;
      this.#hasHole = false;
      this.#isAnswerDue = true;
      this.#answers.stored(id);
    } catch (error) {
      if (signal.aborted) return;
      this.#hasHole = true;
      this.#answers.refused(id, error, this.#state()?.nextOffset ?? 0n);
    }
    this.#changed.notify();
  }

  /** How far the input goes, or went. */
  #state(): InputState | undefined {
    return this.#current() ?? this.#known;
  }

  #current(): InputState | undefined {
    const state = this.#inputs.stateOf(this.#job);
    return (
      state &&
      create(InputStateSchema, {
        attempt: state.attempt,
        nextOffset: BigInt(state.end),
        taken: BigInt(state.taken),
        closed: state.isClosed,
      })
    );
  }
}

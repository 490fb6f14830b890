import { messageOf } from "./errors.ts";

/** A lever that a job's handlers move. */
export interface HandledLever {
  /** The call to make now; undefined if there is none. */
  begin(): (() => Promise<void> | void) | undefined;
  done(): void;
  refused(reason: string): void;
}

/**
 * Calls the handlers of one lever, never two at a time: what is wanted meanwhile is looked at when the call has an outcome.
 */
export class HandlerCalls {
  readonly #lever: HandledLever;
  readonly #onMoved: () => void;
  readonly #isOver: () => boolean;
  #busy = false;

  /** `onMoved` is called after each outcome. Once `isOver`, nothing is called any more and no outcome counts. */
  constructor(lever: HandledLever, { onMoved, isOver }: { onMoved: () => void; isOver: () => boolean }) {
    this.#lever = lever;
    this.#onMoved = onMoved;
    this.#isOver = isOver;
  }

  /** Something may be wanted. */
  look(): void {
    if (!this.#busy) void this.#call();
  }

  async #call(): Promise<void> {
    this.#busy = true;
    for (;;) {
      const call = this.#isOver() ? undefined : this.#lever.begin();
      if (!call) break;
      let refusal: string | undefined;
      try {
        await call();
      } catch (error) {
        refusal = messageOf(error);
      }
      if (this.#isOver()) break;
      if (refusal === undefined) this.#lever.done();
      else this.#lever.refused(refusal);
      this.#onMoved();
    }
    this.#busy = false;
  }
}

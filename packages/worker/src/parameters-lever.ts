import { create, equals, type JsonObject } from "@bufbuild/protobuf";
import { LeverValueSchema, type LeverValue } from "@signalbox/protocol";
import type { LeverWord, Wish } from "./lever-word.ts";

/**
 * The parameters lever of one attempt. The first value is what the attempt begins with. Later ones are in effect at once if the job has
 * no handler for them; else its handler is called with one at a time (`begin`) and takes it or not (`done`, `refused`). What is asked
 * meanwhile waits, newest only.
 */
export class ParametersLever {
  readonly #word: LeverWord;
  #inEffect: JsonObject;
  #handled = false;
  /** What is wanted and neither in effect nor under way. */
  #pending: Wish | undefined;
  /** What the handler is putting into effect. */
  #moving: Wish | undefined;

  /** `begin` is what the job has before the server has said anything. */
  constructor(word: LeverWord, begin: JsonObject) {
    this.#word = word;
    this.#inEffect = begin;
  }

  /** The parameters that are in effect. Replaced, never changed. */
  get inEffect(): JsonObject {
    return this.#inEffect;
  }

  /** The job has a handler: from now on nothing is in effect before it has said so. */
  handle(): void {
    this.#handled = true;
  }

  /** Whether a value is what the job works on already, or is to work on first. */
  isNoChange(wanted: LeverValue): boolean {
    return !this.#word.value || equals(LeverValueSchema, this.#word.value, wanted);
  }

  /** Takes a value that has no fault, or the end of a hold. */
  want(wish: Wish): void {
    // What was asked for last counts, even before it has taken effect.
    this.#word.dropHold();
    this.#pending = wish;
    this.#settlePending();
  }

  /** What the handler is to be called with now; undefined while it is at work, or if there is nothing to do. */
  begin(): JsonObject | undefined {
    if (this.#moving || !this.#pending) return undefined;
    this.#moving = this.#pending;
    this.#pending = undefined;
    return parametersOf(this.#moving);
  }

  /** The handler has put them into effect. */
  done(): void {
    const moved = this.#moving;
    if (!moved) return;
    this.#moving = undefined;
    this.#apply(moved);
    if (this.#pending) this.#word.dropHold();
    this.#settlePending();
  }

  /** The handler has refused, or failed: the parameters before stay in effect. */
  refused(reason: string): void {
    const moved = this.#moving;
    if (!moved) return;
    this.#moving = undefined;
    this.#word.refuse(moved, reason);
    this.#settlePending();
  }

  #settlePending(): void {
    const pending = this.#pending;
    if (!pending || this.#moving) return;
    if (this.#handled && !this.isNoChange(pending.setting.value ?? create(LeverValueSchema))) return;
    this.#pending = undefined;
    this.#apply(pending);
  }

  #apply(wish: Wish): void {
    this.#word.apply(wish);
    this.#inEffect = parametersOf(wish);
  }
}

/** A copy that is the job's own. */
function parametersOf({ setting }: Wish): JsonObject {
  const value = setting.value?.value;
  return structuredClone<JsonObject>((value?.case === "parameters" && value.value.parameters) || {});
}

import { create } from "@bufbuild/protobuf";
import {
  LeverOutcome,
  LeverReportSchema,
  LeverSettingSchema,
  type Hold,
  type LeverReport,
  type LeverSetting,
  type LeverValue,
} from "@signalbox/protocol";
import type { Clock } from "./clock.ts";

/** A value that a lever shall have, and as what it is reported when it has: APPLIED, or REVERTED at the end of a hold. */
export interface Wish {
  readonly setting: LeverSetting;
  readonly outcome: LeverOutcome;
}

/** When and where a value took effect. */
export interface Moment {
  readonly atLine: number;
  readonly atUs: number;
}

/**
 * What is known and said of one lever: the newest generation received, the value in effect, a newer one that was refused, and how long
 * the value in effect holds.
 */
export class LeverWord {
  readonly #clock: Clock;
  readonly #mark: () => number;
  #received = 0n;
  #applied: LeverReport | undefined;
  #rejected: LeverReport | undefined;
  #hold: { atMs: number; then: LeverValue } | undefined;

  /** `mark` says which number the next line will have. */
  constructor(clock: Clock, mark: () => number) {
    this.#clock = clock;
    this.#mark = mark;
  }

  /** The value in effect; undefined if nothing has been yet. */
  get value(): LeverValue | undefined {
    return this.#applied?.value;
  }

  /** When the value in effect runs out, on the monotonic clock; undefined if it does not. */
  get holdEndMs(): number | undefined {
    return this.#hold?.atMs;
  }

  /** The value in effect, and behind it the newer one that was refused: the server needs the first to go back to it. */
  reports(): LeverReport[] {
    return [this.#applied, this.#rejected].filter((report) => report !== undefined);
  }

  /** Whether a generation is news; it is none the next time. */
  receive(generation: bigint): boolean {
    if (generation <= this.#received) return false;
    this.#received = generation;
    return true;
  }

  /** The value is in effect, since now unless told otherwise. */
  apply({ setting, outcome }: Wish, since: Moment = this.#now()): void {
    this.#applied = this.#report(setting, outcome, "", since);
    this.#rejected = undefined;
    const { hold } = setting;
    this.#hold = hold?.then ? { atMs: this.#clock.monotonicMs() + holdMs(hold), then: hold.then } : undefined;
  }

  /** The value will not be put into effect. */
  reject(setting: LeverSetting, reason: string): void {
    this.#rejected = this.#report(setting, LeverOutcome.REJECTED, reason, this.#now());
  }

  /**
   * The job has refused a value. At the end of a hold that is no answer: the held value stays, and the server, whose own clock runs out
   * too, asks again under a new generation.
   */
  refuse({ setting, outcome }: Wish, reason: string): void {
    if (outcome !== LeverOutcome.REVERTED) this.reject(setting, reason);
  }

  /** The value in effect holds for good: another one was asked for. */
  dropHold(): void {
    this.#hold = undefined;
  }

  /** A cancel counts from now on, whatever was refused before. */
  dropRejection(): void {
    this.#rejected = undefined;
  }

  /** If the value in effect has run out, what is wanted now: the value after it, under the same generation. Once. */
  takeEndedHold(): Wish | undefined {
    if (!this.#hold || !this.#applied || this.#hold.atMs > this.#clock.monotonicMs()) return undefined;
    const { then } = this.#hold;
    this.#hold = undefined;
    const setting = create(LeverSettingSchema, { generation: this.#applied.generation, value: then });
    return { setting, outcome: LeverOutcome.REVERTED };
  }

  #now(): Moment {
    return { atLine: this.#mark(), atUs: this.#clock.wallUs() };
  }

  #report(setting: LeverSetting, outcome: LeverOutcome, reason: string, { atLine, atUs }: Moment): LeverReport {
    return create(LeverReportSchema, {
      generation: setting.generation,
      ...(setting.value ? { value: setting.value } : {}),
      outcome,
      reason,
      atLine: BigInt(atLine),
      atUs: BigInt(atUs),
    });
  }
}

/** What remains of a hold: all of it until the value was applied once, here or in an attempt before. */
function holdMs({ remainingMs, durationMs, endsAtUs }: Hold): number {
  return Number(endsAtUs === 0n ? durationMs : remainingMs);
}

import { create } from "@bufbuild/protobuf";
import {
  AttemptEndSchema,
  AttemptReportSchema,
  EndOutcome,
  LeverOutcome,
  LeverReportSchema,
  RunMode,
  type AttemptReport,
  type JobSpec,
  type LeverReport,
  type LeverSetting,
} from "@signalbox/protocol";
import { graceOf, leverOf, type Lever } from "../jobs/levers.ts";

/** One lever as the worker knows it. */
interface Known {
  received: bigint;
  pending: LeverSetting | undefined;
  applied: LeverReport | undefined;
  rejected: LeverReport | undefined;
}

/**
 * An attempt as an honest worker runs it, as far as its levers go: what it gets it holds until it puts it into effect, refuses it or ends,
 * a cancel latches, and a report is all that it knows.
 */
export class ModelWorker {
  readonly attempt: number;
  /** Generations of the settings that it took, whatever became of them. */
  readonly had = new Set<bigint>();
  readonly #levers = new Map<Lever, Known>();
  #generation = 0n;
  #line = 1;
  #end: EndOutcome | undefined;

  constructor(attempt: number) {
    this.attempt = attempt;
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** It has received a CANCEL. */
  get hasCancel(): boolean {
    return this.graceMs !== undefined;
  }

  /** What the CANCEL that stands gives it to end by itself. */
  graceMs: number | undefined;

  /** Takes a spec; an older one is ignored. */
  receive(spec: JobSpec): void {
    if (spec.generation <= this.#generation || this.hasEnded) return;
    this.#generation = spec.generation;
    for (const setting of spec.levers) {
      const lever = leverOf(setting.value);
      // The queue alone obeys that.
      if (lever === "priority") continue;
      const known = this.#of(lever);
      if (setting.generation <= known.received) continue;
      known.received = setting.generation;
      this.had.add(setting.generation);
      const cancelMs = graceOf(setting.value);
      const shortens = cancelMs !== undefined && cancelMs <= (this.graceMs ?? Infinity);
      if (!this.hasCancel || lever !== "run" || shortens) {
        known.pending = setting;
        if (shortens) {
          this.graceMs = cancelMs;
          known.rejected = undefined;
        }
      } else known.rejected = this.#report(setting, LeverOutcome.REJECTED, "cancelling");
    }
  }

  /** Puts what is pending on a lever into effect; a cancel is by the end. */
  apply(lever: Lever): void {
    const known = this.#of(lever);
    if (!known.pending || this.hasEnded || modeOf(known.pending) === RunMode.CANCEL) return;
    known.applied = this.#report(known.pending, LeverOutcome.APPLIED);
    known.rejected = undefined;
    known.pending = undefined;
  }

  /** Refuses what is pending on a lever. */
  reject(lever: Lever): void {
    const known = this.#of(lever);
    if (!known.pending || this.hasEnded || modeOf(known.pending) === RunMode.CANCEL) return;
    known.rejected = this.#report(known.pending, LeverOutcome.REJECTED, "no");
    known.pending = undefined;
  }

  /** The time of a held value is over. */
  revert(lever: Lever, setting: LeverSetting | undefined): void {
    const known = this.#of(lever);
    const then = setting?.hold?.then;
    if (!then || this.hasCancel || this.hasEnded || known.applied?.generation !== setting.generation) return;
    if (known.pending || known.applied.outcome === LeverOutcome.REVERTED) return;
    known.applied = this.#report({ ...setting, value: then }, LeverOutcome.REVERTED);
  }

  /** The job's function comes to its end; one that was canceled is canceled, unless it has done its work or failed all the same. */
  end(outcome: EndOutcome): void {
    if (this.hasEnded) return;
    const gives = outcome === EndOutcome.RELEASED || outcome === EndOutcome.DECLINED;
    if (outcome === EndOutcome.CANCELED && !this.hasCancel) return;
    this.#end = gives && this.hasCancel ? EndOutcome.CANCELED : outcome;
  }

  print(): void {
    if (!this.hasEnded) this.#line++;
  }

  /** All that it knows. */
  report(): AttemptReport {
    return create(AttemptReportSchema, {
      attempt: this.attempt,
      started: this.#end !== EndOutcome.DECLINED,
      receivedGeneration: this.#generation,
      levers: [...this.#levers.values()].flatMap(({ applied, rejected }) =>
        [applied, rejected].filter((report) => report !== undefined),
      ),
      ...(this.#end === undefined
        ? {}
        : { end: create(AttemptEndSchema, { outcome: this.#end, endLine: BigInt(this.#line), atUs: 1n }) }),
    });
  }

  #of(lever: Lever): Known {
    let known = this.#levers.get(lever);
    if (!known)
      this.#levers.set(lever, (known = { received: 0n, pending: undefined, applied: undefined, rejected: undefined }));
    return known;
  }

  #report({ generation, value }: LeverSetting, outcome: LeverOutcome, reason = ""): LeverReport {
    const atLine = BigInt(this.#line);
    return create(LeverReportSchema, { generation, outcome, reason, atLine, ...(value ? { value } : {}) });
  }
}

function modeOf({ value }: LeverSetting): RunMode {
  return value?.value.case === "run" ? value.value.value.mode : RunMode.UNSPECIFIED;
}

import type { JobRecord, LeverValue } from "@signalbox/protocol";
import { duration } from "../ui/format.ts";
import { setting, type LeverName } from "./job-state.ts";

/** A lever's value that counts for a time only. */
export interface RunningHold {
  /** The value after it. */
  readonly then: LeverValue;
  /** How long it counts yet, milliseconds; the whole time until the worker has put the value into effect. */
  readonly leftMs: number;
  /** Whether the clock runs: the value has been in effect. */
  readonly runs: boolean;
}

/** How long the value that is wanted of a lever counts; undefined: for good. `nowMs` is the server's clock. */
export function holdOf(job: JobRecord, lever: LeverName, nowMs: number): RunningHold | undefined {
  const hold = setting(job, lever)?.hold;
  if (!hold?.then) return undefined;
  if (hold.endsAtUs === 0n) return { then: hold.then, leftMs: Number(hold.durationMs), runs: false };
  return { then: hold.then, leftMs: Math.max(0, Number(hold.endsAtUs) / 1000 - nowMs), runs: true };
}

/** The value that a lever stands on for good: what is wanted, or what comes after a hold. Undefined if it was never set. */
export function lastingValue(job: JobRecord, lever: LeverName): LeverValue | undefined {
  const set = setting(job, lever);
  return set?.hold?.then ?? set?.value;
}

/** `8:41`, `0:09`, `1:02:03`: what is left of a time that somebody waits for. */
export function countdown(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/** `1 min`, `10 min`, `1 h`; as a duration where it is not whole. */
export function holdWords(ms: number): string {
  if (ms >= 3_600_000 && ms % 3_600_000 === 0) return `${ms / 3_600_000}\u00a0h`;
  return ms >= 60_000 && ms % 60_000 === 0 ? `${ms / 60_000}\u00a0min` : duration(ms);
}

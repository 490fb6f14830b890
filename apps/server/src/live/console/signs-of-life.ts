import { create } from "@bufbuild/protobuf";
import { ConsoleHeartbeatSchema, JobEventSchema, type JobEvent } from "@signalbox/protocol";
import type { Clock } from "../../clock.ts";
import { pause } from "../../pause.ts";
import { Refused } from "../../refused.ts";
import type { RateGate } from "./rate-gate.ts";

const lookEveryMs = 500;

/** How long either side may say nothing. */
export interface SilenceBounds {
  /** The server sends a heartbeat when it has said nothing for so long, milliseconds. */
  readonly heartbeatMs: number;
  /** A client that says nothing for so long is gone, milliseconds. */
  readonly silenceMs: number;
}

export const defaultSilence: SilenceBounds = { heartbeatMs: 5_000, silenceMs: 30_000 };

/** When the two sides of a console were last heard. */
export interface LastWords {
  /** When the server sent something, as performance.now(). */
  sentMs: number;
  /** Since when the client is silent, as performance.now(); undefined while the server does not listen. */
  readonly silentSinceMs: number | undefined;
}

/**
 * Heartbeats where nothing else is sent; where the rate holds something back, that goes out instead, so that the lowest rate still shows
 * something. Throws Refused when the client is silent for too long; time in which this process itself stood still does not count.
 */
export async function* signsOfLife(
  words: LastWords,
  gate: RateGate,
  clock: Clock,
  signal: AbortSignal,
  { heartbeatMs, silenceMs } = defaultSilence,
): AsyncGenerator<JobEvent> {
  const everyMs = Math.min(lookEveryMs, heartbeatMs / 4);
  let lookedMs = performance.now();
  /** How long this process stood still since the client was heard. */
  let stoodMs = 0;
  let heard: number | undefined;
  for (;;) {
    await pause(everyMs, signal);
    if (signal.aborted) return;
    const nowMs = performance.now();
    const { silentSinceMs } = words;
    if (silentSinceMs !== heard) stoodMs = 0;
    heard = silentSinceMs;
    stoodMs += Math.max(0, nowMs - lookedMs - 2 * everyMs);
    lookedMs = nowMs;
    if (silentSinceMs !== undefined && nowMs - silentSinceMs - stoodMs >= silenceMs)
      throw new Refused(
        "silent",
        `Nothing was heard for ${silenceMs / 1000} s: send a heartbeat at least every 10 s, and join the job again.`,
      );
    if (nowMs - words.sentMs < heartbeatMs || gate.letOnePass()) continue;
    gate.count(1);
    yield create(JobEventSchema, {
      event: { case: "heartbeat", value: create(ConsoleHeartbeatSchema, { serverTimeUs: BigInt(clock()) }) },
    });
    // A client that took long to take it did not keep this process from looking.
    lookedMs = performance.now();
  }
}

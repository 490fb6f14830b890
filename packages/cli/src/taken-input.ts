import { setTimeout as delay } from "node:timers/promises";
import { bytes } from "@signalbox/protocol/format";
import { currentAttempt } from "@signalbox/protocol/job-state";
import type { Room } from "./room.ts";

/** A job that reads takes what was sent within this, milliseconds. */
const withinMs = 1_000;
const lookEveryMs = 50;

/** What was sent into a job: up to `offset` of its attempt's input, with the last `sent` bytes ours. */
export interface SentInput {
  readonly jobId: string;
  readonly attempt: number;
  readonly offset: bigint;
  readonly sent: number;
}

/**
 * Says what is not so as 'sent' lets hope: how much of it the job has not taken after a moment, or did not take before its attempt ended.
 * Empty if it has all. Rejects with what the signal aborts with.
 */
export async function untakenWords(
  { jobs }: { readonly jobs: Pick<Room["jobs"], "getJob"> },
  { jobId, attempt, offset, sent }: SentInput,
  signal: AbortSignal,
): Promise<string> {
  const until = performance.now() + withinMs;
  for (;;) {
    // Whether it is taken is news, and no reason to call what was sent not sent.
    const { job, vitals } = await jobs
      .getJob({ jobId }, { signal })
      .catch(() => ({ job: undefined, vitals: undefined }));
    signal.throwIfAborted();
    const taken = vitals?.attempt === attempt ? vitals.inputTaken : undefined;
    if (!job || taken === undefined || taken >= offset) return "";
    const rest = bytes(Math.min(sent, Number(offset - taken)));
    if (currentAttempt(job)?.number !== attempt) return `the attempt ended before it had taken ${rest} of it`;
    if (performance.now() >= until) return `the job has not taken ${rest} of it yet`;
    await delay(lookEveryMs, undefined, { signal });
  }
}

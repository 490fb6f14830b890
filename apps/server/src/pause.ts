import { setTimeout as sleep } from "node:timers/promises";

/** Waits `ms`, or until `signal` aborts; never throws. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

import { pause } from "../pause.ts";
import { Refused } from "../refused.ts";

/** How long a stream may be open without saying what it is about. */
export const firstMessageMs = 10_000;

/** The first message of a stream; undefined if the stream ends before. Throws Refused if it does not come in time. */
export async function firstMessage<T>(incoming: AsyncIterator<T>, signal: AbortSignal): Promise<T | undefined> {
  const stop = new AbortController();
  try {
    const late = pause(firstMessageMs, AbortSignal.any([signal, stop.signal])).then(() => "late" as const);
    const first = await Promise.race([incoming.next(), late]);
    if (first === "late") throw firstIsLate();
    return first.done ? undefined : first.value;
  } finally {
    stop.abort();
  }
}

/** What a stream without a word is told. */
export function firstIsLate(): Refused {
  return new Refused("invalid", `The first message did not come within ${firstMessageMs / 1000} s.`);
}

import { Refused } from "../refused.ts";

/** How long a stream may be open without saying what it is about. */
export const firstMessageMs = 10_000;

/** The first message of a stream; undefined if the stream ends before. Throws Refused if it does not come in time. */
export async function firstMessage<T>(incoming: AsyncIterator<T>, signal: AbortSignal): Promise<T | undefined> {
  const first = Promise.withResolvers<T | undefined>();
  const gone = () => first.resolve(undefined);
  const late = setTimeout(() => first.reject(firstIsLate()), firstMessageMs);
  signal.addEventListener("abort", gone, { once: true });
  try {
    if (signal.aborted) gone();
    incoming.next().then(({ done, value }) => first.resolve(done ? undefined : value), first.reject);
    return await first.promise;
  } finally {
    clearTimeout(late);
    signal.removeEventListener("abort", gone);
  }
}

/** What a stream without a word is told. */
export function firstIsLate(): Refused {
  return new Refused("invalid", `The first message did not come within ${firstMessageMs / 1000} s.`);
}

import { Wake } from "../wake.ts";

/**
 * Yields from several sources as they have something, in turn when several have. One item of each source is held at most, so that a
 * source that is ahead waits and one that is silent blocks nobody. Ends when all have ended or `signal` aborts; throws what a source
 * throws. On every end it aborts the signal that `sources` was given, and calls `return` on each source.
 */
export async function* merge<T>(
  sources: (signal: AbortSignal) => readonly AsyncGenerator<T>[],
  signal: AbortSignal,
): AsyncGenerator<T> {
  const stop = new AbortController();
  const forward = () => stop.abort(signal.reason);
  if (signal.aborted) forward();
  signal.addEventListener("abort", forward, { once: true });
  const running = sources(stop.signal);
  // Not Promise.race: it would leave a reaction on each waiting source for every item of the others.
  const ready: { source: AsyncGenerator<T>; result: IteratorResult<T, unknown> }[] = [];
  const wake = new Wake();
  let left = running.length;
  let failure: { error: unknown } | undefined;
  const pull = (source: AsyncGenerator<T>) => {
    source
      .next()
      .then(
        (result) => ready.push({ source, result }),
        (error: unknown) => (failure ??= { error }),
      )
      .finally(() => wake.notify())
      .catch(() => undefined); // Nothing above can fail.
  };
  try {
    running.forEach(pull);
    while (left > 0 && !stop.signal.aborted) {
      const step = ready.shift();
      if (step) {
        const { source, result } = step;
        if (result.done) {
          left--;
          continue;
        }
        yield result.value;
        pull(source);
      } else if (failure) {
        throw failure.error;
      } else {
        await wake.wait(stop.signal);
      }
    }
  } finally {
    signal.removeEventListener("abort", forward);
    stop.abort();
    // Not awaited: a source may stand in a wait that only its signal ends. What it still throws concerns nobody any more.
    for (const source of running) source.return(undefined).catch(() => undefined);
  }
}

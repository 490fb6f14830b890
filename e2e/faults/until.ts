import { setTimeout as delay } from "node:timers/promises";

const everyMs = 50;

/**
 * Resolves with what `look` resolves with as soon as that is something. A look that throws counts as nothing: a server that is being
 * killed refuses calls. Rejects after `withinMs`, with what did not happen and why the last look failed.
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  withinMs = 60_000,
): Promise<T> {
  const endsAt = performance.now() + withinMs;
  let failure: unknown;
  for (;;) {
    try {
      const seen = await look();
      if (seen !== undefined && seen !== false) return seen;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > endsAt) throw new Error(`${what}: not within ${withinMs / 1000} s`, { cause: failure });
    await delay(everyMs);
  }
}

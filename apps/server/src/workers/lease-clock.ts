/** When a worker that is not heard is shown as silent, and when its lease ends. Milliseconds. */
export const silentAfterMs = 10_000;
export const leaseMs = 15_000;
/** How often a sign of life is due. */
export const heartbeatMs = 5_000;

/** A look that comes later than this after the one before means that the server itself stood still. */
const gapMs = 2_500;

/** What a look found out about one holder. */
export type LeaseChange = { readonly holder: string; readonly state: "silent" | "lost" };

/**
 * Leases by holder (a worker process). Measured on the monotonic clock of this process. After a gap in its own looks, when the server
 * was stopped or starved, every lease gets a full term: nobody is lost because the server slept.
 */
export class LeaseClock {
  readonly #heard = new Map<string, { at: number; state: "heard" | "silent" | "lost" }>();
  #lookedAt: number;

  constructor(now: number) {
    this.#lookedAt = now;
  }

  /** A sign of life, or the begin of a term. */
  hear(holder: string, now: number): void {
    const lease = this.#heard.get(holder);
    if (lease) Object.assign(lease, { at: now, state: "heard" });
    else this.#heard.set(holder, { at: now, state: "heard" });
  }

  /** Stops watching the holder. */
  forget(holder: string): void {
    this.#heard.delete(holder);
  }

  /** Whether the holder has a lease that is looked at. */
  watches(holder: string): boolean {
    return this.#heard.has(holder);
  }

  /** Who has become silent or lost since the last look. Call it about every second. */
  look(now: number): LeaseChange[] {
    const slept = now - this.#lookedAt > gapMs;
    this.#lookedAt = now;
    const changes: LeaseChange[] = [];
    for (const [holder, lease] of this.#heard) {
      if (slept) {
        if (lease.state !== "lost") lease.at = now;
        continue;
      }
      const silence = now - lease.at;
      if (silence >= leaseMs && lease.state !== "lost") {
        lease.state = "lost";
        changes.push({ holder, state: "lost" });
      } else if (silence >= silentAfterMs && lease.state === "heard") {
        lease.state = "silent";
        changes.push({ holder, state: "silent" });
      }
    }
    return changes;
  }
}

import { Gauge, Histogram, type Registry } from "prom-client";
import type { Logger } from "./logger.ts";

/** How often the event loop is asked for a sign of life, milliseconds. */
const beatMs = 100;
/** A sign of life that is later than this is counted, milliseconds. */
const countedMs = 20;
/** From here on the process did not work slowly but stood still, milliseconds: leases get a full term then, see lease-clock.ts. */
export const stoodStillMs = 2_500;

/**
 * Measures for how long the event loop stands still: while it does, nobody is answered. Every gap is counted in `/metrics`, and one in
 * which leases would have run out is told in the log.
 */
export class LoopGaps {
  readonly #logger: Logger;
  readonly #gaps: Histogram;
  readonly #timer: NodeJS.Timeout;
  #beatAt = performance.now();
  #longestMs = 0;

  constructor(logger: Logger, registry: Registry) {
    this.#logger = logger;
    const registers = [registry];
    this.#gaps = new Histogram({
      name: "signalbox_event_loop_gap_seconds",
      help: "For how long the event loop stood still, each time that it did for more than 20 ms.",
      buckets: [0.05, 0.1, 0.25, 0.5, 1, stoodStillMs / 1000, 10],
      registers,
    });
    const longest: Gauge = new Gauge({
      name: "signalbox_event_loop_longest_gap_seconds",
      help: "The longest time for which the event loop stood still since the server started.",
      registers,
      collect: () => longest.set(this.#longestMs / 1000),
    });
    this.#timer = setInterval(() => this.#beat(), beatMs);
    this.#timer.unref();
  }

  /** Stops measuring. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const now = performance.now();
    const gapMs = now - this.#beatAt - beatMs;
    this.#beatAt = now;
    if (gapMs < countedMs) return;
    this.#gaps.observe(gapMs / 1000);
    this.#longestMs = Math.max(this.#longestMs, gapMs);
    if (gapMs >= stoodStillMs)
      this.#logger.warn(
        { seconds: Math.round(gapMs / 100) / 10 },
        "the server stood still: stopped, or without CPU. All workers get a full lease.",
      );
  }
}

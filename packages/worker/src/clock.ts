import { performance } from "node:perf_hooks";

/** The clocks of a worker. Tests bring their own. */
export interface Clock {
  /** Wall clock, microseconds since the Unix epoch. */
  wallUs(): number;
  /** A clock that never goes back, milliseconds, for durations. */
  monotonicMs(): number;
}

let anchorUs = 0;

/** The clocks of this machine. The wall clock has microseconds between two ticks of `Date`, and follows it when it is set. */
export const systemClock: Clock = {
  wallUs() {
    const sinceStartUs = performance.now() * 1000;
    const dateUs = Date.now() * 1000;
    const us = anchorUs + sinceStartUs;
    // `Date` counts whole milliseconds, so up to one millisecond of difference is no disagreement.
    if (us < dateUs || us > dateUs + 2000) {
      anchorUs = dateUs - sinceStartUs;
      return dateUs;
    }
    return Math.floor(us);
  },
  monotonicMs: () => performance.now(),
};

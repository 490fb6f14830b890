import { Level, type JobRecord, type Vitals } from "@signalbox/protocol";
import { setting } from "@signalbox/protocol/job-state";

/** Beyond this nobody means a speed, items a second. */
const fastest = 1_000_000;

/**
 * The next speed in steps of 1, 2, 5, from the one that is asked, or without one from what is measured; undefined: unlimited. Faster than
 * the fastest step is unlimited.
 */
export function nextSpeed(job: JobRecord, vitals: Vitals | undefined, faster: boolean): number | undefined {
  const asked = setting(job, "speed")?.value?.value;
  const now = asked?.case === "speed" ? asked.value.itemsPerSecond : undefined;
  if (now === undefined && faster) return undefined;
  const from = now ?? (vitals && vitals.itemsPerSecond > 0 ? vitals.itemsPerSecond : 100);
  const power = 10 ** Math.floor(Math.log10(from) + 1e-9);
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10].map((step) => Number((step * power).toPrecision(1)));
  const next = faster
    ? steps.find((step) => step > from * (1 + 1e-9))
    : steps.findLast((step) => step < from * (1 - 1e-9));
  return next !== undefined && next > fastest ? undefined : next;
}

/** The level after the one that is asked: trace, debug, info, warn, error, and from the beginning. */
export function nextLevel(job: JobRecord): Level {
  const asked = setting(job, "logLevel")?.value?.value;
  const now = asked?.case === "logLevel" ? asked.value.level : Level.TRACE;
  return now >= Level.ERROR ? Level.TRACE : ((now + 1) as Level);
}

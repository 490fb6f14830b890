import type { Logger } from "../logger.ts";
import type { Metrics } from "./metrics.ts";

/** What a listener cuts, closes or drops because a bound is met. */
export type Cut =
  | "connection beyond the limit"
  | "silent connection"
  | "idle connection"
  | "stalled message"
  | "stalled reader"
  | "too much held"
  | "too many streams"
  | "too many requests ahead";

/** The same is logged at most so often: a flood of connections is not to become one of lines. */
const logEveryMs = 10_000;

/** Counts what a listener cuts, in `/metrics` and in the log. */
export function createCuts(
  listener: "operator" | "worker",
  logger: Logger,
  metrics: Metrics,
): (what: Cut, address?: string) => void {
  const seen = new Map<Cut, { count: number; loggedAt: number }>();
  return (what, address) => {
    metrics.cuts.inc({ listener, what });
    const known = seen.get(what) ?? { count: 0, loggedAt: -Infinity };
    seen.set(what, known);
    known.count++;
    const now = performance.now();
    if (now - known.loggedAt < logEveryMs) return;
    const since = known.count > 1 ? { count: known.count } : {};
    logger.warn({ listener, what, address, ...since }, "cut: a limit of this server was met");
    known.count = 0;
    known.loggedAt = now;
  };
}

import type { JobRecord } from "@signalbox/protocol";
import { countdown, holdOf, type RunningHold } from "./hold.ts";
import { restNote, valueLever, type LeverContext, type LeverView } from "./lever-view.ts";
import { levelName, levelOf } from "./log-level.ts";

/** How the log level lever stands. */
export interface LogLevelView extends LeverView {
  /** Set while the level counts for a time only and is in effect. */
  readonly hold: RunningHold | undefined;
}

/** The log level lever: the lowest level whose lines the worker sends. */
export function logLevelLever(job: JobRecord, context: LeverContext): LogLevelView {
  const hold = holdOf(job, "logLevel", context.nowMs);
  const view = valueLever(job, "logLevel", context, () =>
    hold
      ? `back to ${levelName(levelOf(hold.then))} ${hold.leftMs > 0 ? `in ${countdown(hold.leftMs)}` : "now"}`
      : restNote(job, "logLevel", context.nowMs),
  );
  return { ...view, hold: view.phase === "rest" ? hold : undefined };
}

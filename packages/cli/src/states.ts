import { JobState } from "@signalbox/protocol";
import type { StateChoice } from "./words.ts";

/** States by the words that --state takes. */
export const statesOf: Readonly<Record<StateChoice, readonly JobState[]>> = {
  waiting: [JobState.QUEUED],
  running: [JobState.RUNNING],
  paused: [JobState.PAUSED],
  succeeded: [JobState.SUCCEEDED],
  failed: [JobState.FAILED],
  canceled: [JobState.CANCELED],
  lost: [JobState.LOST],
  active: [JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.LOST],
  ended: [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED],
};

import type { StateWord } from "../jobs/job-state.ts";

/** Shapes of lamps: each state can be told without its colour. */
export type LampShape =
  "running" | "paused" | "waiting" | "moving" | "succeeded" | "failed" | "canceled" | "lost" | "silent" | "draining";

/** Names of the state colours. */
export type Tone = "go" | "wait" | "stop" | "lost" | "idle" | "done";

/** How a state is drawn. */
export interface LampLook {
  readonly shape: LampShape;
  readonly tone: Tone;
}

/** Shape and colour of each state's lamp. */
export const stateLooks: Readonly<Record<StateWord, LampLook>> = {
  Waiting: { shape: "waiting", tone: "idle" },
  Starting: { shape: "moving", tone: "idle" },
  Running: { shape: "running", tone: "go" },
  Pausing: { shape: "moving", tone: "wait" },
  Paused: { shape: "paused", tone: "wait" },
  Resuming: { shape: "moving", tone: "go" },
  Cancelling: { shape: "moving", tone: "stop" },
  Canceled: { shape: "canceled", tone: "idle" },
  Succeeded: { shape: "succeeded", tone: "done" },
  Failed: { shape: "failed", tone: "stop" },
  Lost: { shape: "lost", tone: "lost" },
};

/** How the link to the server stands. */
export type LinkState = (
  | { readonly kind: "connecting" }
  | { readonly kind: "open"; readonly sinceMs: number }
  | { readonly kind: "backing-off"; readonly delayMs: number; readonly reason: string }
) & {
  /** Tries since there was a good link. */
  readonly failures: number;
  /** When there was a good link last; undefined if there never was one and none has failed. */
  readonly awaySinceMs?: number | undefined;
};

/** The state of a worker. `draining`: it stops, and delivers what it has. */
export type WorkerState =
  | LinkState
  | { readonly kind: "draining"; readonly reason: string; readonly link: LinkState }
  | { readonly kind: "closed"; readonly reason: string };

/** What moves it. Times are milliseconds of a clock that never goes back. */
export type WorkerEvent =
  /** The server has said welcome. */
  | { readonly kind: "welcomed"; readonly atMs: number }
  /** The link has broken, or could not be made. `random` from 0 to 1. */
  | {
      readonly kind: "lost";
      readonly atMs: number;
      readonly reason: string;
      readonly random: number;
      readonly longestDelayMs: number;
    }
  /** The back-off is over. */
  | { readonly kind: "retry" }
  /** The worker shall stop. */
  | { readonly kind: "stop"; readonly reason: string }
  /** Everything is closed. */
  | { readonly kind: "closed" };

/** Least bound of the back-off, milliseconds. */
const firstDelayMs = 100;
/** The bound, as a share of the time since there was a good link. */
const delayShare = 0.5;
/** Longest back-off unless told otherwise. */
export const LONGEST_DELAY_MS = 5000;
/** A link that was open for less counts as a failure: a server that hangs up at once must not be called in a tight loop. */
const steadyMs = 2000;

export const initialState: WorkerState = { kind: "connecting", failures: 0 };

/**
 * The state after an event; the same object if the event means nothing in this state. The delay before the next try is drawn between 0
 * and a bound, so that a thousand workers that lost their server at one moment do not come back at one moment. The bound is half of the
 * time since there was a good link, 100 ms at least: whoever was away for a second is back in half another, and a server that stays away
 * is not called in a tight loop.
 */
export function nextState(state: WorkerState, event: WorkerEvent): WorkerState {
  if (state.kind === "closed") return state;
  if (event.kind === "closed") return { kind: "closed", reason: state.kind === "draining" ? state.reason : "closed" };
  if (event.kind === "stop")
    return state.kind === "draining" ? state : { kind: "draining", reason: event.reason, link: state };
  if (state.kind === "draining") {
    const link = nextLink(state.link, event);
    return link === state.link ? state : { ...state, link };
  }
  return nextLink(state, event);
}

/** The link's own state, if it has one. */
export function linkOf(state: WorkerState): LinkState | undefined {
  return state.kind === "draining" ? state.link : state.kind === "closed" ? undefined : state;
}

function nextLink(state: LinkState, event: Exclude<WorkerEvent, { kind: "stop" | "closed" }>): LinkState {
  const { failures, awaySinceMs } = state;
  switch (event.kind) {
    case "welcomed":
      return state.kind === "connecting" ? { kind: "open", failures, awaySinceMs, sinceMs: event.atMs } : state;
    case "lost": {
      if (state.kind === "backing-off") return state;
      const { atMs, reason, random, longestDelayMs } = event;
      const wasSteady = state.kind === "open" && atMs - state.sinceMs >= steadyMs;
      const since = wasSteady ? atMs : (awaySinceMs ?? atMs);
      const boundMs = Math.min(longestDelayMs, Math.max(firstDelayMs, (atMs - since) * delayShare));
      return {
        kind: "backing-off",
        failures: wasSteady ? 0 : failures + 1,
        awaySinceMs: since,
        delayMs: Math.round(boundMs * random),
        reason,
      };
    }
    case "retry":
      return state.kind === "backing-off" ? { kind: "connecting", failures, awaySinceMs } : state;
  }
}

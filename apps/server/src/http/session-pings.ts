import type { ServerHttp2Session } from "node:http2";

/** How sessions are watched. */
export interface SessionPingOptions {
  /** How often a session is pinged, milliseconds. Default 10,000. */
  readonly everyMs?: number;
  /** How long an answer may take before the session is destroyed, milliseconds. Default 10,000. */
  readonly answerWithinMs?: number;
  /** How often to look, milliseconds. Default 1,000. */
  readonly lookEveryMs?: number;
  /** Called before a session is destroyed. */
  readonly onDead?: () => void;
}

/** Pings HTTP/2 sessions, which nothing else does, and destroys those that do not answer: half-open connections, stopped processes. */
export interface SessionPings {
  /** Sessions that are open now. */
  open(): readonly ServerHttp2Session[];
  /** Watches a session until it closes. */
  add(session: ServerHttp2Session): void;
  /** Stops watching. May be called twice. */
  stop(): void;
}

/**
 * When this process itself stood still (stopped, or busy), answers may wait unread: after a gap in its own event loop every
 * session gets its full time again.
 */
export function createSessionPings(options: SessionPingOptions = {}): SessionPings {
  const { everyMs = 10_000, answerWithinMs = 10_000, lookEveryMs = 1_000, onDead } = options;
  const watched = new Map<ServerHttp2Session, { nextPingAt: number; waitsSince: number | undefined }>();
  let lookedAt = performance.now();

  function look() {
    const now = performance.now();
    const stoodStill = now - lookedAt > 2 * lookEveryMs;
    lookedAt = now;
    for (const [session, state] of watched) {
      if (session.destroyed) continue;
      if (state.waitsSince !== undefined) {
        if (stoodStill) state.waitsSince = now;
        if (now - state.waitsSince <= answerWithinMs) continue;
        onDead?.();
        session.destroy();
      } else if (now >= state.nextPingAt) {
        state.waitsSince = now;
        session.ping((error) => {
          // An error means that the session ended, which `close` says too.
          if (error) return;
          state.waitsSince = undefined;
          state.nextPingAt = performance.now() + everyMs;
        });
      }
    }
  }

  const timer = setInterval(look, lookEveryMs);
  timer.unref();
  return {
    open: () => [...watched.keys()],
    add(session) {
      watched.set(session, { nextPingAt: performance.now() + everyMs, waitsSince: undefined });
      session.once("close", () => watched.delete(session));
    },
    stop: () => clearInterval(timer),
  };
}

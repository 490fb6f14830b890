import type { ServerHttp2Session } from "node:http2";

/** How sessions are watched. */
export interface SessionPingOptions {
  /** A session is pinged after so long without a byte from it, milliseconds. Default 4,000. */
  readonly everyMs?: number;
  /** How long it may then go on to say nothing before the session is destroyed, milliseconds. Default 3,000. */
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
 * Any byte from the other side is a sign of life: the answer to a ping may be behind megabytes on a slow line. When this process itself
 * stood still (stopped, or busy), bytes may wait unread: after a gap in its own event loop every session gets its full time again.
 */
export function createSessionPings(options: SessionPingOptions = {}): SessionPings {
  const { everyMs = 4_000, answerWithinMs = 3_000, lookEveryMs = 1_000, onDead } = options;
  const watched = new Map<ServerHttp2Session, { bytesRead: number; heardAt: number; pinged: boolean }>();
  let lookedAt = performance.now();

  function look() {
    const now = performance.now();
    const stoodStill = now - lookedAt > 2 * lookEveryMs;
    lookedAt = now;
    for (const [session, state] of watched) {
      if (session.destroyed) continue;
      const { bytesRead } = session.socket;
      if (stoodStill || bytesRead !== state.bytesRead) {
        Object.assign(state, { bytesRead, heardAt: now, pinged: false });
      } else if (now - state.heardAt >= everyMs + answerWithinMs) {
        onDead?.();
        session.destroy();
      } else if (now - state.heardAt >= everyMs && !state.pinged) {
        state.pinged = true;
        session.ping(() => undefined); // Its answer is bytes.
      }
    }
  }

  const timer = setInterval(look, lookEveryMs);
  timer.unref();
  return {
    open: () => [...watched.keys()],
    add(session) {
      watched.set(session, { bytesRead: session.socket.bytesRead, heardAt: performance.now(), pinged: false });
      session.once("close", () => watched.delete(session));
    },
    stop: () => clearInterval(timer),
  };
}

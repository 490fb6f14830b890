import type { Http2Session, Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";

/** Calls that are begun in one turn of the event loop; more wait for the next one. */
const callsATurn = 8;

type Begin = () => void;

/**
 * Lets connections take turns in beginning calls. One that opens a thousand streams in a single packet would else have them all begun
 * before anybody else is heard, half a second later; and streams that it resets at once are never begun at all.
 */
export class StreamTurns {
  /** Connections with streams that wait, in the order of their turns. */
  readonly #waiting = new Map<Http2Session | undefined, [ServerHttp2Stream, Begin][]>();
  #begun = 0;
  #isScheduled = false;

  /** Begins a call now or, if enough were begun in this turn, in one of the next. */
  take(stream: ServerHttp2Stream, begin: Begin): void {
    if (this.#waiting.size === 0 && this.#begun < callsATurn) {
      this.#begun++;
      begin();
    } else {
      const own = this.#waiting.get(stream.session);
      if (own) own.push([stream, begin]);
      else this.#waiting.set(stream.session, [[stream, begin]]);
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#begun = 0;
      this.#turn();
    });
  }

  #turn(): void {
    for (const [session, own] of this.#waiting) {
      const next = own.shift();
      this.#waiting.delete(session);
      if (own.length > 0) this.#waiting.set(session, own);
      if (!next || hasEnded(next[0])) continue;
      this.#begun++;
      next[1]();
      if (this.#begun >= callsATurn) break;
    }
    if (this.#waiting.size > 0 || this.#begun > 0) this.#schedule();
  }
}

function hasEnded(stream: ServerHttp2Stream): boolean {
  return stream.destroyed || stream.closed;
}

/**
 * Puts turns before everything that listens to the server's streams so far. `admit` sees each stream at once, and a stream that it does
 * not admit is left to it.
 */
export function takeTurns(
  server: Http2Server,
  admit: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean,
): void {
  const listeners = server.listeners("stream") as ((...args: unknown[]) => void)[];
  const turns = new StreamTurns();
  server.removeAllListeners("stream");
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...more: unknown[]) => {
    // An error ends the stream, and `close` tells all that need to know; one that nobody heard would end the process.
    stream.on("error", () => undefined);
    // The rest of the packet that opens a stream may have ended its session before anybody hears of the stream.
    if (hasEnded(stream) || !admit(stream, headers)) return;
    turns.take(stream, () => {
      for (const listener of listeners) listener.call(server, stream, headers, ...more);
    });
  });
}

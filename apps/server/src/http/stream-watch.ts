import { constants, type Http2Session, type ServerHttp2Stream } from "node:http2";
import type { Cut } from "./cuts.ts";

/** What a stream on HTTP/2 may take its time for, and what all of them may hold. */
export interface StreamBounds {
  /** A message that has begun must go on: at least `leastProgressBytes` in so long, or its end. Milliseconds. Default 10,000. */
  readonly stalledMessageMs?: number;
  /** A client that takes nothing of what waits for it for so long is cut, milliseconds. Default 60,000. */
  readonly stalledReaderMs?: number;
  /** A connection without an open stream is kept so long, milliseconds. Default 30,000. */
  readonly idleMs?: number;
  /** Open streams on all connections together; more are refused. Default 16,384. */
  readonly mostStreams?: number;
  /** Bytes that were received and not read, or written and not sent, on all connections together. Default 512 MiB. */
  readonly heldBytes?: number;
  /** How often to look, milliseconds. Default 1,000. */
  readonly lookEveryMs?: number;
}

/** What all streams hold at a look. */
export interface Held {
  readonly streams: number;
  readonly bytes: number;
}

/** Less than this in the time of a stalled message is no progress: a byte now and then keeps nothing open. */
const leastProgressBytes = 4 * 1024;
const prefixBytes = 5;

/** One stream: where it is in its messages, and what has moved. */
class Watched {
  readonly stream: ServerHttp2Stream;
  readonly #isGrpc: boolean;
  /** Bytes of the frame's head that are there, while it is not whole. */
  #head = 0;
  #length = 0;
  /** Bytes of the message that are still to come. */
  #missing = 0;
  #messages = 0;
  #received = 0;
  #handed = 0;
  /** Since when the message that has begun makes no progress. */
  #stalled: { at: number; messages: number; received: number } | undefined;
  #answeredAt: number | undefined;
  /** Since when the client takes nothing. */
  #unread: { at: number; sent: number } | undefined;

  constructor(stream: ServerHttp2Stream, isGrpc: boolean) {
    this.stream = stream;
    this.#isGrpc = isGrpc;
    // What comes and goes is counted where the stream itself gets it: a listener would change who reads, and when.
    const push = stream.push.bind(stream);
    stream.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
      if (chunk) this.#take(chunk);
      return push(chunk, encoding);
    };
    // What came in one packet with the call's headers is there already.
    const early = stream.readableLength > 0 ? (stream.read() as Buffer | null) : null;
    if (early) {
      this.#take(early);
      stream.unshift(early);
    }
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
    stream.write = (chunk: Uint8Array | string, ...rest: unknown[]) => {
      this.#handed += chunk.length;
      return write(chunk, ...rest);
    };
  }

  /** Whether the call was answered to its end `limitMs` ago, and its client goes on as if it were not. */
  outlivesAnswer(now: number, limitMs: number): boolean {
    if (!this.stream.writableFinished || this.stream.destroyed) return false;
    this.#answeredAt ??= now;
    return now - this.#answeredAt >= limitMs;
  }

  /** Bytes that wait here, in either direction. */
  get heldBytes(): number {
    return this.stream.readableLength + this.stream.writableLength;
  }

  /** The process stood still: what has come meanwhile was not seen. */
  restart(): void {
    this.#stalled = this.#unread = undefined;
  }

  /** Whether a message that has begun goes on too slowly for `limitMs`. A stream that the server itself does not read is not looked at. */
  messageStalls(now: number, limitMs: number): boolean {
    const { stream } = this;
    const isMidMessage = this.#isGrpc && (this.#head > 0 || this.#missing > 0);
    if (!isMidMessage || stream.isPaused() || stream.readableLength > 0) {
      this.#stalled = undefined;
      return false;
    }
    const since = this.#stalled;
    const moved = !since || since.messages !== this.#messages || this.#received - since.received >= leastProgressBytes;
    if (moved) this.#stalled = { at: now, messages: this.#messages, received: this.#received };
    return !moved && now - since.at >= limitMs;
  }

  /** Whether the client has taken nothing for `limitMs` of what waits for it. */
  readerStalls(now: number, limitMs: number): boolean {
    const waiting = this.stream.writableLength;
    if (waiting === 0) {
      this.#unread = undefined;
      return false;
    }
    const sent = this.#handed - waiting;
    const since = this.#unread;
    if (since?.sent !== sent) {
      this.#unread = { at: now, sent };
      return false;
    }
    return now - since.at >= limitMs;
  }

  #take(chunk: Buffer): void {
    this.#received += chunk.length;
    if (!this.#isGrpc) return;
    for (let at = 0; at < chunk.length;) {
      if (this.#missing > 0) {
        const part = Math.min(this.#missing, chunk.length - at);
        this.#missing -= part;
        at += part;
        if (this.#missing === 0) this.#messages++;
        continue;
      }
      const byte = chunk[at++] ?? 0;
      if (this.#head > 0) this.#length = this.#length * 256 + byte;
      if (++this.#head < prefixBytes) continue;
      this.#missing = this.#length;
      if (this.#missing === 0) this.#messages++;
      this.#head = this.#length = 0;
    }
  }
}

/** Watches the streams of HTTP/2 sessions: cuts what stalls, closes what is idle, and bounds what all of them hold. */
export class StreamWatch {
  readonly #bounds: Required<StreamBounds>;
  readonly #onCut: (what: Cut, address?: string) => void;
  readonly #onLook: (held: Held) => void;
  readonly #sessions = new Map<Http2Session, { readonly streams: Set<Watched>; idleSince: number }>();
  readonly #timer: NodeJS.Timeout;
  #open = 0;
  #lookedAt = performance.now();

  /** `onCut` is told of everything that is cut, `onLook` what all streams hold. */
  constructor(
    bounds: StreamBounds,
    onCut: (what: Cut, address?: string) => void,
    onLook: (held: Held) => void = () => undefined,
  ) {
    this.#bounds = {
      stalledMessageMs: bounds.stalledMessageMs ?? 10_000,
      stalledReaderMs: bounds.stalledReaderMs ?? 60_000,
      idleMs: bounds.idleMs ?? 30_000,
      mostStreams: bounds.mostStreams ?? 16_384,
      heldBytes: bounds.heldBytes ?? 512 * 1024 * 1024,
      lookEveryMs: bounds.lookEveryMs ?? 1_000,
    };
    this.#onCut = onCut;
    this.#onLook = onLook;
    this.#timer = setInterval(() => this.#look(), this.#bounds.lookEveryMs);
    this.#timer.unref();
  }

  /** Watches a session until it closes. */
  addSession(session: Http2Session): void {
    this.#sessions.set(session, { streams: new Set(), idleSince: performance.now() });
    session.once("close", () => this.#sessions.delete(session));
  }

  /** Watches a stream until it closes. Returns false if there are too many already: then it is to be refused. */
  addStream(stream: ServerHttp2Stream, contentType: string | undefined): boolean {
    if (this.#open >= this.#bounds.mostStreams) {
      this.#onCut("too many streams", addressOf(stream.session));
      return false;
    }
    this.#open++;
    const session = stream.session && this.#sessions.get(stream.session);
    const watched = new Watched(stream, contentType?.startsWith("application/grpc") === true);
    session?.streams.add(watched);
    stream.once("close", () => {
      this.#open--;
      session?.streams.delete(watched);
      if (session) session.idleSince = performance.now();
    });
    return true;
  }

  /** Stops looking. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { lookEveryMs, heldBytes, idleMs } = this.#bounds;
    const now = performance.now();
    const stoodStill = now - this.#lookedAt > 2 * lookEveryMs;
    this.#lookedAt = now;
    let held = 0;
    let most: { readonly session: Http2Session; readonly bytes: number } | undefined;
    for (const [session, watch] of this.#sessions) {
      const { streams } = watch;
      // Whoever could not be heard was not idle, and may have a call on its way.
      if (stoodStill) watch.idleSince = now;
      if (streams.size === 0 && now - watch.idleSince >= idleMs) {
        this.#onCut("idle connection", addressOf(session));
        session.close();
        continue;
      }
      let bytes = 0;
      for (const watched of streams) {
        if (stoodStill) watched.restart();
        else this.#lookAt(watched, now);
        bytes += watched.heldBytes;
      }
      held += bytes;
      if (bytes > (most?.bytes ?? 0)) most = { session, bytes };
    }
    this.#onLook({ streams: this.#open, bytes: held });
    if (held <= heldBytes || !most) return;
    this.#onCut("too much held", addressOf(most.session));
    most.session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    most.session.destroy();
  }

  #lookAt(watched: Watched, now: number): void {
    const { stalledMessageMs, stalledReaderMs } = this.#bounds;
    if (watched.outlivesAnswer(now, stalledMessageMs)) {
      watched.stream.close(constants.NGHTTP2_NO_ERROR);
      return;
    }
    const isMessage = watched.messageStalls(now, stalledMessageMs);
    if (!isMessage && !watched.readerStalls(now, stalledReaderMs)) return;
    this.#onCut(isMessage ? "stalled message" : "stalled reader", addressOf(watched.stream.session));
    watched.stream.close(constants.NGHTTP2_CANCEL);
  }
}

/** The address of the peer; undefined when the session has ended. */
function addressOf(session: Http2Session | undefined): string | undefined {
  return session === undefined || session.destroyed ? undefined : session.socket.remoteAddress;
}

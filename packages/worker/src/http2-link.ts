import { connect, type ClientHttp2Session, type ClientHttp2Stream, type OutgoingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Dialed } from "./dial.ts";

/** After so long without a byte from the other side it is pinged, milliseconds. */
export const PING_AFTER_MS = 4000;
/** After so long without a byte from the other side it is taken for gone, milliseconds. */
export const DEAD_AFTER_MS = 7000;
const lookEveryMs = 1000;

export interface Http2LinkOptions {
  /** Bytes that may be on their way to this side, for each stream. */
  readonly windowBytes: number;
  /** Called once if the other side is gone, before calls fail. */
  readonly onDead?: (reason: string) => void;
  readonly pingAfterMs?: number;
  readonly deadAfterMs?: number;
  readonly lookEveryMs?: number;
}

/**
 * One HTTP/2 session over a connection that was dialed, for calls of Connect. Any byte from the other side is a sign of life, the answer
 * to a ping too; time in which this process stood still does not count. When it has ended, every call on it fails.
 */
export class Http2Link {
  /** What calls name as their server. */
  readonly authority: string;
  readonly #session: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #options: Http2LinkOptions;
  readonly #looking: NodeJS.Timeout;
  #isGoingAway = false;
  #bytesRead = 0;
  #heardAtMs = performance.now();
  #lookedAtMs = performance.now();
  #isPinged = false;

  constructor({ socket, url }: Pick<Dialed, "socket" | "url">, options: Http2LinkOptions) {
    this.authority = new URL(url).origin;
    this.#socket = socket;
    this.#options = options;
    this.#session = connect(url, {
      createConnection: () => socket,
      settings: { initialWindowSize: options.windowBytes, enablePush: false },
    });
    // Calls have it already; an error that nobody listens to would end the process.
    this.#session.on("error", () => undefined);
    this.#session.on("goaway", () => (this.#isGoingAway = true));
    this.#session.once("close", () => clearInterval(this.#looking));
    this.#looking = setInterval(() => this.#look(), options.lookEveryMs ?? lookEveryMs);
    this.#looking.unref();
  }

  /** Whether new calls can be made. */
  get isOpen(): boolean {
    return !this.#isGoingAway && !this.#session.closed && !this.#session.destroyed;
  }

  /** Makes a call. Rejects with ConnectError if the session has ended. */
  async request(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    options: object,
  ): Promise<ClientHttp2Stream> {
    if (!this.isOpen) throw new ConnectError("the connection has ended", Code.Unavailable);
    const { host } = new URL(this.authority);
    return this.#session.request({ ...headers, ":method": method, ":path": path, ":authority": host }, options);
  }

  /** Part of what Connect asks of a session; bytes are seen at the socket. */
  notifyResponseByteRead(): void {}

  /** Ends it at once. May be called twice. */
  abort(): void {
    clearInterval(this.#looking);
    if (!this.#session.destroyed) this.#session.destroy();
  }

  #look(): void {
    const { pingAfterMs = PING_AFTER_MS, deadAfterMs = DEAD_AFTER_MS, onDead } = this.#options;
    const everyMs = this.#options.lookEveryMs ?? lookEveryMs;
    const nowMs = performance.now();
    const stoodStillMs = nowMs - this.#lookedAtMs - everyMs;
    this.#lookedAtMs = nowMs;
    // What came meanwhile is not read yet.
    if (stoodStillMs > everyMs) this.#heardAtMs += stoodStillMs;
    if (this.#socket.bytesRead !== this.#bytesRead) {
      this.#bytesRead = this.#socket.bytesRead;
      this.#heardAtMs = nowMs;
      this.#isPinged = false;
    }
    const silentMs = nowMs - this.#heardAtMs;
    if (silentMs >= deadAfterMs) {
      onDead?.(`no answer to a ping, and no other word for ${Math.round(silentMs / 1000)} s`);
      this.abort();
    } else if (silentMs >= pingAfterMs && !this.#isPinged) {
      this.#isPinged = true;
      this.#session.ping(() => undefined);
    }
  }
}

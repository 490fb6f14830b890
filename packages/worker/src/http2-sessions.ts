import type { ClientHttp2Stream } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { Dialer } from "./dial.ts";
import { Http2Link } from "./http2-link.ts";

/**
 * HTTP/2 sessions to one server that has one or more addresses, one session after the other: a call that finds none connects, to
 * whichever address answers.
 */
export class Http2Sessions {
  readonly authority: string;
  readonly #dialer: Dialer;
  readonly #windowBytes: number;
  readonly #closing = new AbortController();
  #link: Http2Link | undefined;
  #connecting: Promise<Http2Link> | undefined;

  /** `urls`: the first names the server in calls. */
  constructor(urls: readonly [string, ...string[]], { windowBytes }: { windowBytes: number }) {
    this.authority = new URL(urls[0]).origin;
    this.#dialer = new Dialer(urls);
    this.#windowBytes = windowBytes;
  }

  /** Makes a call. Rejects with ConnectError if no address answers. */
  async request(...request: Parameters<Http2Link["request"]>): Promise<ClientHttp2Stream> {
    const link = this.#link?.isOpen ? this.#link : await (this.#connecting ??= this.#connect());
    return link.request(...request);
  }

  /** Part of what Connect asks of a session. */
  notifyResponseByteRead(): void {}

  /** Ends everything, for good. */
  abort(): void {
    this.#closing.abort();
    this.#link?.abort();
  }

  async #connect(): Promise<Http2Link> {
    try {
      const dialed = await this.#dialer.dial(this.#closing.signal);
      return (this.#link = new Http2Link(dialed, { windowBytes: this.#windowBytes }));
    } catch (error) {
      throw new ConnectError(
        error instanceof Error ? error.message : String(error),
        Code.Unavailable,
        undefined,
        [],
        error,
      );
    } finally {
      this.#connecting = undefined;
    }
  }
}

import type { ClientHttp2Session } from "node:http2";
import { Http2SessionManager } from "@connectrpc/connect-node";

/**
 * HTTP/2 sessions to one server whose failures end calls and never the process: where no HTTP/2 is spoken, Node reports the end of a
 * session once more after its manager has let go of it, and an error that nobody listens to is fatal.
 */
export class Http2Sessions extends Http2SessionManager {
  readonly #guarded = new WeakSet<ClientHttp2Session>();

  override async request(...request: Parameters<Http2SessionManager["request"]>) {
    const stream = await super.request(...request);
    const { session } = stream;
    if (session && !this.#guarded.has(session as ClientHttp2Session)) {
      this.#guarded.add(session as ClientHttp2Session);
      session.on("error", () => undefined); // The call has it already.
    }
    return stream;
  }
}

import { constants, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { Caller } from "../auth/caller.ts";
import { isPlain, type PlainAccess } from "./plain-stream.ts";

// The same way past the general RPC machinery for calls with one request and one answer: what a command costs there is three times what
// it costs itself. Calls with a deadline, with compression or by somebody who may not call go the general way.

/** A unary method that is served here when its calls are plain. */
export interface PlainUnary {
  /** `/package.Service/Method` */
  readonly path: string;
  /** Answers an encoded request with an encoded response. Rejects with a ConnectError: the status of the call. */
  readonly answer: (request: Uint8Array, from: PlainPeer) => Promise<Uint8Array>;
}

/** Who calls. */
export interface PlainPeer {
  readonly caller: Caller;
  readonly headers: IncomingHttpHeaders;
  /** The connection: always the same object for the same one. */
  readonly connection: object | undefined;
  /** Aborts when the client goes before it is answered, or the server stops. */
  readonly signal: AbortSignal;
}

const prefixBytes = 5;
const trailersOfSuccess = { "grpc-status": "0" };

/** Serves plain calls of `methods` on `server`. To be called after the server has its general handler. */
export function servePlainUnary(server: Http2Server, methods: readonly PlainUnary[], access: PlainAccess): void {
  const byPath = new Map(methods.map((method) => [method.path, method]));
  const open = new Set<UnaryCall>();
  const { shutdown } = access;
  shutdown.addEventListener("abort", () => open.forEach((call) => call.stop(shutdown.reason)), { once: true });
  const general = server.listeners("stream") as ((...args: unknown[]) => void)[];
  server.removeAllListeners("stream");
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...more: unknown[]) => {
    const method = byPath.get(headers[":path"] ?? "");
    const caller =
      method && isPlain(headers) ? access.callerOf(headers, stream.session?.socket.remoteAddress ?? "") : undefined;
    if (!method || !caller) {
      for (const listener of general) listener.call(server, stream, headers, ...more);
      return;
    }
    const call = new UnaryCall(stream, access, (request, signal) =>
      method.answer(request, { caller, headers, connection: stream.session, signal }),
    );
    open.add(call);
    stream.once("close", () => open.delete(call));
  });
}

class UnaryCall {
  readonly #stream: ServerHttp2Stream;
  readonly #gone = new AbortController();
  readonly #late: NodeJS.Timeout;
  readonly #readMaxBytes: number;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #isAnswered = false;

  constructor(
    stream: ServerHttp2Stream,
    { readMaxBytes, requestTimeoutMs }: PlainAccess,
    answer: (request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>,
  ) {
    this.#stream = stream;
    this.#readMaxBytes = readMaxBytes;
    this.#late = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), requestTimeoutMs);
    stream.on("error", () => undefined); // `close` follows.
    stream.on("data", (piece: Buffer) => {
      if (this.#isAnswered) return;
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      if (this.#bytes > prefixBytes + readMaxBytes) this.#fail(this.#tooLong(this.#bytes - prefixBytes));
    });
    stream.once("end", () => {
      clearTimeout(this.#late);
      if (!this.#isAnswered) void this.#run(answer);
    });
    stream.once("close", () => {
      clearTimeout(this.#late);
      if (!this.#isAnswered) this.stop(new ConnectError("The client has gone.", Code.Canceled));
    });
  }

  /** Nobody waits for the answer any more, or the server stops. What is done on the way may still be told. */
  stop(reason: unknown): void {
    this.#gone.abort(reason);
  }

  async #run(answer: (request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>): Promise<void> {
    try {
      const response = await answer(this.#request(), this.#gone.signal);
      const framed = Buffer.allocUnsafe(prefixBytes + response.length);
      framed[0] = 0;
      framed.writeUInt32BE(response.length, 1);
      framed.set(response, prefixBytes);
      this.#end(trailersOfSuccess, framed);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The one message that came. */
  #request(): Uint8Array {
    const bytes = this.#pieces.length === 1 && this.#pieces[0] ? this.#pieces[0] : Buffer.concat(this.#pieces);
    this.#pieces = [];
    if (bytes.length === 0)
      throw new ConnectError("A call of this kind has one message, not none.", Code.Unimplemented);
    const length = bytes.length < prefixBytes ? undefined : bytes.readUInt32BE(1);
    if (length !== undefined && length > this.#readMaxBytes) throw this.#tooLong(length);
    const end = length === undefined ? Infinity : prefixBytes + length;
    if (end > bytes.length)
      throw new ConnectError("The request ended in the middle of a message.", Code.InvalidArgument);
    if (bytes[0] !== 0) throw new ConnectError("A compressed message without grpc-encoding.", Code.Internal);
    if (end < bytes.length)
      throw new ConnectError("A call of this kind has one message, not more.", Code.Unimplemented);
    return bytes.subarray(prefixBytes);
  }

  #tooLong(bytes: number): ConnectError {
    const words = `A message of ${bytes} bytes or more is over the limit of ${this.#readMaxBytes}.`;
    return new ConnectError(words, Code.ResourceExhausted);
  }

  #fail(error: unknown): void {
    this.#end(Object.fromEntries(setTrailerStatus(new Headers(), ConnectError.from(error))), undefined);
  }

  #end(trailers: Record<string, string>, framed: Buffer | undefined): void {
    const stream = this.#stream;
    this.#isAnswered = true;
    this.#pieces = [];
    if (stream.destroyed || stream.closed) return;
    stream.once("wantTrailers", () => {
      stream.sendTrailers(trailers);
      // The call is over for a client that still sends, too: it hears so behind the trailers.
      if (!stream.readableEnded) setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
    });
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
    stream.end(framed);
  }
}

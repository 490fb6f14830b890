import { constants, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { Caller } from "../auth/caller.ts";
import { FairShare, type Share } from "./fair-share.ts";

// A way past the general RPC machinery for a method whose messages are many and small: hundreds of workers that print a line now and
// then cost a fraction of it. It takes only the plain form of a call (no compression, no deadline) of a caller who may call; whatever
// else comes goes the general way, which answers it. No promises and no generators: a message is a call down, and so is an answer.

/** What a listener decides of such calls. */
export interface PlainAccess {
  /** Who calls; undefined if this call is not served here: nobody knows who calls, or the server stops. */
  readonly callerOf: (headers: IncomingHttpHeaders, address: string) => Caller | undefined;
  /** Aborts all calls, with a ConnectError as its reason. */
  readonly shutdown: AbortSignal;
  /** Largest request message, bytes. */
  readonly readMaxBytes: number;
  /** The one request of a unary call must be there so long after its headers, milliseconds. */
  readonly requestTimeoutMs: number;
}

/** A method that is served here when its calls are plain. */
export interface PlainMethod {
  /** `/package.Service/Method` */
  readonly path: string;
  /** A call has come. */
  readonly accept: (call: PlainCall) => PlainReader;
}

/** What a call is to whoever serves it. */
export interface PlainCall {
  /** The client can take an answer. When it cannot, `writable` is called as soon as it can. */
  readonly canSend: boolean;
  /** Sends a message, which is in its gRPC frame already. */
  send(framed: Uint8Array): void;
  /** Whether messages are wanted; they are, until told otherwise. What is not wanted waits at the client, but for one read of the stream. */
  want(wanted: boolean): void;
  /** Ends the call: with status 0, or with what the error means. Later calls of it do nothing. */
  end(error?: unknown): void;
}

/** Whoever serves a call. What `message` throws ends the call, by `failed`. */
export interface PlainReader {
  /** A whole message as it came, in order. The bytes are not used again. */
  message(bytes: Uint8Array): void;
  /** The client has ended its side, and every message was given. */
  ended(): void;
  /** What came is no message, or `message` threw: end the call with this error. */
  failed(error: Error): void;
  /** The client has gone, or the call has ended: nothing can be sent any more. */
  closed(): void;
  /** The client can take answers again. */
  writable(): void;
}

/** Serves plain calls of a method on `server`. To be called after the server has its general handler. */
export function servePlainStream(
  server: Http2Server,
  method: PlainMethod,
  { callerOf, shutdown, readMaxBytes }: Omit<PlainAccess, "requestTimeoutMs">,
  /** What a failed call means for its client. */
  toError: (error: unknown) => ConnectError,
): void {
  const general = server.listeners("stream") as ((...args: unknown[]) => void)[];
  const open = new Set<Call>();
  const share = new FairShare();
  shutdown.addEventListener("abort", () => open.forEach((call) => call.end(shutdown.reason)), { once: true });
  server.removeAllListeners("stream");
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...more: unknown[]) => {
    if (
      headers[":path"] === method.path &&
      isPlain(headers) &&
      callerOf(headers, stream.session?.socket.remoteAddress ?? "")
    ) {
      const call = new Call(stream, readMaxBytes, toError, share.join());
      open.add(call);
      stream.on("close", () => open.delete(call));
      call.serve(method.accept(call));
    } else for (const listener of general) listener.call(server, stream, headers, ...more);
  });
}

/** Whether a call is in the plain form: gRPC's own encoding, uncompressed, without a deadline. */
export function isPlain(headers: IncomingHttpHeaders): boolean {
  const encoding = headers["grpc-encoding"];
  return (
    headers[":method"] === "POST" &&
    /^application\/grpc(\+proto)?$/.test(headers["content-type"] ?? "") &&
    (encoding === undefined || encoding === "identity") &&
    headers["grpc-timeout"] === undefined
  );
}

const prefixBytes = 5;

class Call implements PlainCall {
  readonly #stream: ServerHttp2Stream;
  readonly #readMaxBytes: number;
  readonly #toError: (error: unknown) => ConnectError;
  readonly #share: Share;
  #trailers: Headers | undefined;
  #reader: PlainReader | undefined;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #isWanted = true;
  #canSend = true;
  /** The client has ended its side. */
  #clientEnded = false;
  /** The reader was told the end of what the client says. */
  #toldEnd = false;
  #isOver = false;
  #isGiving = false;
  /** Others are heard first. */
  #isResting = false;

  /** Answers with the head of a response. */
  constructor(
    stream: ServerHttp2Stream,
    readMaxBytes: number,
    toError: (error: unknown) => ConnectError,
    share: Share,
  ) {
    this.#stream = stream;
    this.#share = share;
    this.#readMaxBytes = readMaxBytes;
    this.#toError = toError;
    stream.on("wantTrailers", () => {
      stream.sendTrailers(Object.fromEntries(this.#trailers ?? []));
      // The call is over for a client that still sends, too: it hears so behind the trailers.
      setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
    });
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
  }

  get canSend(): boolean {
    return this.#canSend && !this.#isOver;
  }

  /** From here on `reader` has what comes. */
  serve(reader: PlainReader): void {
    this.#reader = reader;
    const stream = this.#stream;
    stream.on("error", () => undefined); // `close` follows.
    stream.on("close", () => {
      this.#isOver = true;
      reader.closed();
    });
    stream.on("drain", () => {
      this.#canSend = true;
      reader.writable();
    });
    stream.on("data", (piece: Buffer) => {
      if (this.#isOver) return;
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      this.#give();
    });
    stream.on("end", () => {
      this.#clientEnded = true;
      this.#give();
    });
    if (this.#isOver) reader.closed();
  }

  send(framed: Uint8Array): void {
    if (!this.#isOver && !this.#stream.destroyed) this.#canSend = this.#stream.write(framed);
  }

  want(wanted: boolean): void {
    if (this.#isWanted === wanted) return;
    this.#isWanted = wanted;
    if (wanted) this.#give();
  }

  end(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#pieces = [];
    this.#bytes = 0;
    this.#trailers = new Headers();
    setTrailerStatus(this.#trailers, error === undefined ? undefined : this.#toError(error));
    this.#reader?.closed();
    if (!this.#stream.destroyed) this.#stream.end();
  }

  /** Gives the messages that are there and wanted, then reads on or waits. */
  #give(): void {
    // A reader that wants more from within `message` gets it from the loop that runs already.
    if (this.#isGiving) return;
    this.#isGiving = true;
    try {
      while (this.#isWanted && !this.#isResting && !this.#isOver && !this.#toldEnd) {
        const message = this.#take();
        if (message) {
          this.#reader?.message(message);
          this.#isResting = this.#share.take(message.length, this.#goOn);
        } else if (!this.#clientEnded) break;
        else if (this.#bytes > 0)
          throw new ConnectError("The stream ended in the middle of a message.", Code.InvalidArgument);
        else {
          this.#toldEnd = true;
          this.#reader?.ended();
        }
      }
    } catch (error) {
      this.#toldEnd = true;
      this.#reader?.failed(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#isGiving = false;
    }
    // A message that is not whole yet is read on; whole ones wait until they are wanted. What a call that is over still gets is dropped.
    if ((this.#isWanted && !this.#isResting) || this.#isOver) {
      if (this.#stream.isPaused()) this.#stream.resume();
    } else if (!this.#stream.isPaused()) this.#stream.pause();
  }

  readonly #goOn = (): void => {
    this.#isResting = false;
    this.#give();
  };

  /** The next whole message, if it is there. */
  #take(): Buffer | undefined {
    if (this.#bytes < prefixBytes) return undefined;
    let head = this.#pieces[0] ?? Buffer.alloc(0);
    if (head.length < prefixBytes) head = this.#join();
    if (head[0] !== 0) throw new ConnectError("A compressed message without grpc-encoding.", Code.Internal);
    const length = head.readUInt32BE(1);
    if (length > this.#readMaxBytes)
      throw new ConnectError(
        `A message of ${length} bytes is over the limit of ${this.#readMaxBytes}.`,
        Code.ResourceExhausted,
      );
    const end = prefixBytes + length;
    if (this.#bytes < end) return undefined;
    if (head.length < end) head = this.#join();
    this.#bytes -= end;
    if (head.length === end) this.#pieces.shift();
    else this.#pieces[0] = head.subarray(end);
    return head.subarray(prefixBytes, end);
  }

  #join(): Buffer {
    const joined = Buffer.concat(this.#pieces);
    this.#pieces = [joined];
    return joined;
  }
}

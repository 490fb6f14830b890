import { constants, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import {
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";

// A way past the general RPC machinery for the one method whose messages are many and small: hundreds of workers that print a line now
// and then cost a third of it. It takes only the plain form of a call (no compression, no deadline) of a caller who may call; whatever
// else comes goes the general way, which answers it.

/** What a listener decides of such calls. */
export interface PlainAccess {
  /** Whether this call may be served: who calls is known and the server does not stop. */
  readonly admits: (headers: IncomingHttpHeaders, address: string) => boolean;
  /** Aborts all calls, with a ConnectError as its reason. */
  readonly shutdown: AbortSignal;
  /** Largest request message, bytes. */
  readonly readMaxBytes: number;
}

/** A method that is served here when its calls are plain. */
export interface PlainStream<I extends DescMessage, O extends DescMessage> extends PlainAccess {
  readonly method: DescMethodBiDiStreaming<I, O>;
  /** Takes requests and gives responses; ends when `signal` aborts. */
  readonly handle: (requests: AsyncIterator<MessageShape<I>>, signal: AbortSignal) => AsyncIterable<MessageShape<O>>;
  /** What a failed handler means for the caller. */
  readonly toError: (error: unknown, signal: AbortSignal) => ConnectError;
}

/** Serves plain calls of a method on `server`. To be called after the server has its general handler. */
export function servePlainStream<I extends DescMessage, O extends DescMessage>(
  server: Http2Server,
  served: PlainStream<I, O>,
): void {
  const path = `/${served.method.parent.typeName}/${served.method.name}`;
  const general = server.listeners("stream") as ((...args: unknown[]) => void)[];
  server.removeAllListeners("stream");
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...more: unknown[]) => {
    if (
      headers[":path"] === path &&
      isPlain(headers) &&
      served.admits(headers, stream.session?.socket.remoteAddress ?? "")
    )
      void serve(stream, served);
    else for (const listener of general) listener.call(server, stream, headers, ...more);
  });
}

function isPlain(headers: IncomingHttpHeaders): boolean {
  const encoding = headers["grpc-encoding"];
  return (
    headers[":method"] === "POST" &&
    /^application\/grpc(\+proto)?$/.test(headers["content-type"] ?? "") &&
    (encoding === undefined || encoding === "identity") &&
    headers["grpc-timeout"] === undefined
  );
}

async function serve<I extends DescMessage, O extends DescMessage>(
  stream: ServerHttp2Stream,
  { method, handle, toError, shutdown, readMaxBytes }: PlainStream<I, O>,
): Promise<void> {
  const gone = new AbortController();
  const signal = AbortSignal.any([gone.signal, shutdown]);
  stream.on("close", () => gone.abort(new ConnectError("The client has gone.", Code.Canceled)));
  stream.on("error", () => undefined); // `close` follows.
  const trailers = new Headers();
  stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => {
    stream.sendTrailers(Object.fromEntries(trailers));
    // The call is over for a client that still sends, too: it hears so behind the trailers.
    setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
  });
  try {
    const requests = new IncomingMessages(stream, method.input, readMaxBytes, signal);
    for await (const response of handle(requests, signal)) {
      if (stream.destroyed) return;
      if (!stream.write(frame(toBinary(method.output, response)))) await room(stream);
    }
    signal.throwIfAborted();
    setTrailerStatus(trailers, undefined);
  } catch (error) {
    setTrailerStatus(trailers, toError(error, signal));
  }
  if (stream.destroyed) return;
  stream.end();
}

/** Resolves when the stream takes more, or has ended. */
function room(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
  });
}

/** A message in a gRPC frame: a flag, its length, its bytes. */
function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(prefixBytes + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, prefixBytes);
  return framed;
}

const prefixBytes = 5;

/**
 * The messages of a call, one `next` at a time. Reads no further ahead than one read of the stream, and decodes a message when it is
 * asked for.
 */
class IncomingMessages<I extends DescMessage> implements AsyncIterator<MessageShape<I>, undefined> {
  readonly #stream: ServerHttp2Stream;
  readonly #schema: I;
  readonly #readMaxBytes: number;
  readonly #signal: AbortSignal;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream, schema: I, readMaxBytes: number, signal: AbortSignal) {
    this.#stream = stream;
    this.#schema = schema;
    this.#readMaxBytes = readMaxBytes;
    this.#signal = signal;
    stream.on("data", (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      // A message that is not whole yet is read on; whole ones wait for whoever asks.
      if (this.#wake === undefined) stream.pause();
      else this.#notify();
    });
    const over = () => {
      this.#ended = true;
      this.#notify();
    };
    stream.on("end", over);
    signal.addEventListener("abort", over, { once: true });
  }

  /** The next message; done when the client has ended its side or the call is over. Throws ConnectError for what is no message. */
  async next(): Promise<IteratorResult<MessageShape<I>, undefined>> {
    for (;;) {
      if (this.#signal.aborted) return { done: true, value: undefined };
      const message = this.#take();
      if (message) return { done: false, value: this.#decode(message) };
      if (this.#ended) {
        if (this.#bytes > 0)
          throw new ConnectError("The stream ended in the middle of a message.", Code.InvalidArgument);
        return { done: true, value: undefined };
      }
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      if (this.#stream.isPaused()) this.#stream.resume();
      await woken;
    }
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #decode(message: Uint8Array): MessageShape<I> {
    try {
      return fromBinary(this.#schema, message);
    } catch (error) {
      throw new ConnectError(
        `The message is not an encoded ${this.#schema.typeName}.`,
        Code.InvalidArgument,
        undefined,
        undefined,
        error,
      );
    }
  }

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

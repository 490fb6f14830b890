import type { IncomingMessage, ServerResponse } from "node:http";
import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus, trailerFlag, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Caller } from "../auth/caller.ts";
import { connectionOf } from "./connection-key.ts";

// The same way past the general RPC machinery for a stream of answers to browsers: fifty pages that follow the same changes are sent the
// same encoded bytes, which the general way would encode, frame and copy for each of them. Calls with a deadline, with compression or by
// somebody who may not call go the general way, which answers them.

/** A method with one request and a stream of answers that is served here when its calls are plain gRPC-Web. */
export interface PlainWebStream {
  /** `/package.Service/Method` */
  readonly path: string;
  /** Answers an encoded request with encoded messages, each in pieces that make it up one after the other. What it throws ends the call. */
  readonly answer: (request: Uint8Array, from: WebPeer) => AsyncIterable<readonly Uint8Array[]>;
}

/** Who calls. */
export interface WebPeer {
  /** The connection: always the same object for the same one. */
  readonly connection: object | undefined;
  /** Aborts when the client goes, or the server stops. */
  readonly signal: AbortSignal;
}

/** What a listener decides of such calls. */
export interface PlainWebAccess {
  /** Who calls; undefined if nobody knows. */
  readonly callerOf: (request: FastifyRequest) => Caller | undefined;
  /** Aborts all calls, with a ConnectError as its reason. */
  readonly shutdown: AbortSignal;
  /** Largest request message, bytes. */
  readonly readMaxBytes: number;
}

const prefixBytes = 5;
const contentType = "application/grpc-web+proto";
/** Pieces up to this size together are put into one: a small copy costs less than another write. */
const smallBytes = 4 * 1024;

/** Serves plain calls of `method` among the routes of `calls`, behind the hooks that stand there already. */
export function servePlainWebStream(
  calls: FastifyInstance,
  method: PlainWebStream,
  { callerOf, shutdown, readMaxBytes }: PlainWebAccess,
  /** What a failed call means for its client. */
  toError: (error: unknown, signal: AbortSignal) => ConnectError,
): void {
  calls.addHook("onRequest", async (request, reply) => {
    if (request.routeOptions.url !== method.path || !isPlain(request.raw) || shutdown.aborted || !callerOf(request))
      return;
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, { ...(reply.getHeaders() as Record<string, string>), "content-type": contentType });
    const gone = new AbortController();
    const stop = () => gone.abort(shutdown.reason);
    shutdown.addEventListener("abort", stop, { once: true });
    raw.once("close", () => {
      shutdown.removeEventListener("abort", stop);
      gone.abort(new ConnectError("The client has gone.", Code.Canceled));
    });
    const failure = await serve(method, request, raw, readMaxBytes, gone.signal).then(
      () => undefined,
      (error: unknown) => toError(error, gone.signal),
    );
    end(raw, failure);
  });
}

/** Whether a call is in the plain form: gRPC-Web's own encoding, uncompressed, without a deadline. */
function isPlain({ method, headers }: IncomingMessage): boolean {
  const encoding = headers["grpc-encoding"];
  return (
    method === "POST" &&
    headers["content-type"] === contentType &&
    (encoding === undefined || encoding === "identity") &&
    headers["content-encoding"] === undefined &&
    headers["grpc-timeout"] === undefined
  );
}

/** Runs a call to its end. Throws what failed. */
async function serve(
  { answer }: PlainWebStream,
  request: FastifyRequest,
  response: ServerResponse,
  readMaxBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const message = messageIn(await bodyOf(request.raw, readMaxBytes), readMaxBytes);
  for await (const pieces of answer(message, { connection: connectionOf(request), signal })) {
    if (signal.aborted) break;
    if (!send(response, pieces)) await drained(response, signal);
  }
  // A handler whose signal aborts just stops. Its client must not take that for the end: it hears why.
  signal.throwIfAborted();
}

/** Ends a call with its status. */
function end(response: ServerResponse, failure: ConnectError | undefined): void {
  const trailers = new Headers();
  setTrailerStatus(trailers, failure);
  const status = trailerSerialize(trailers);
  if (!response.destroyed) response.end(Buffer.concat([prefixOf(trailerFlag, status.length), status]));
}

/** The whole body of a request. Throws RESOURCE_EXHAUSTED if it is longer than a message may be. */
async function bodyOf(request: AsyncIterable<Buffer>, readMaxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > prefixBytes + readMaxBytes) throw tooLong(readMaxBytes);
  }
  return Buffer.concat(pieces, bytes);
}

/** The one message of a body. Throws what the client did wrong. */
function messageIn(body: Buffer, readMaxBytes: number): Buffer {
  if (body.length === 0)
    throw new ConnectError("missing input message: a call of this kind has one, not none.", Code.Unimplemented);
  const length = body.length < prefixBytes ? Infinity : body.readUInt32BE(1);
  if (length > readMaxBytes && length !== Infinity) throw tooLong(readMaxBytes);
  const end = prefixBytes + length;
  if (end > body.length) throw new ConnectError("The request ended in the middle of a message.", Code.InvalidArgument);
  if (body[0] !== 0) throw new ConnectError("A compressed message without grpc-encoding.", Code.Internal);
  if (end < body.length)
    throw new ConnectError("extra input message: a call of this kind has one, not more.", Code.Unimplemented);
  return body.subarray(prefixBytes);
}

function tooLong(readMaxBytes: number): ConnectError {
  return new ConnectError(`The message is over the limit of ${readMaxBytes} bytes.`, Code.ResourceExhausted);
}

/** Sends a message in its frame. Returns whether the client can take more. */
function send(response: ServerResponse, pieces: readonly Uint8Array[]): boolean {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const prefix = prefixOf(0, length);
  response.cork();
  for (const piece of length <= smallBytes ? [Buffer.concat([prefix, ...pieces])] : [prefix, ...pieces])
    response.write(piece);
  response.uncork();
  // Not what `write` says: what it held back may be on its way by now.
  return !response.writableNeedDrain;
}

function prefixOf(flags: number, length: number): Buffer {
  const prefix = Buffer.allocUnsafe(prefixBytes);
  prefix[0] = flags;
  prefix.writeUInt32BE(length, 1);
  return prefix;
}

/** Resolves when the client can take more, or `signal` aborts. */
function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    response.once("drain", done);
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted) done();
  });
}

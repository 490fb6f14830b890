import { once } from "node:events";
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { buffer } from "node:stream/consumers";

// RPCs by hand: frames made and taken apart here, so that nothing of the library that answers is on both sides.

/** A message or a block of trailers as it is on the wire. */
export interface Frame {
  readonly flags: number;
  readonly data: Buffer;
}

/** What came back. */
export interface RawAnswer {
  readonly http: number;
  readonly type: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Messages; trailers are not among them. */
  readonly frames: readonly Frame[];
  /** From the last frame (gRPC-Web) or the HTTP trailers (gRPC); from the headers if the answer is nothing but trailers. */
  readonly trailers: Readonly<Record<string, string>>;
  /** The body as text, if it is not made of frames. */
  readonly text: string;
}

export interface RawRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
  readonly body?: Uint8Array;
}

/** One frame: flags, length, data. `length` is a lie if it is given. */
export function frame(data: Uint8Array, flags = 0, length: number = data.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, data]);
}

/** Takes a body apart. Throws if it is not made of whole frames. */
export function framesOf(body: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < body.length;) {
    if (body.length < at + 5) throw new Error(`${body.length - at} bytes are left over`);
    const end = at + 5 + body.readUInt32BE(at + 1);
    if (end > body.length) throw new Error("the last frame is cut off");
    frames.push({ flags: body.readUInt8(at), data: body.subarray(at + 5, end) });
    at = end;
  }
  return frames;
}

/** `name: value` lines of a gRPC-Web trailer. Throws unless each is printable ASCII with a lower-case name and ends with CRLF. */
export function trailersOf(block: Buffer): Record<string, string> {
  const text = block.toString("latin1");
  if (!/^([a-z0-9_.-]+:[ -~]*\r\n)*$/.test(text)) throw new Error(`not a block of trailers: ${JSON.stringify(text)}`);
  return Object.fromEntries(
    text
      .split("\r\n")
      .filter(Boolean)
      .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
  );
}

/** A call over gRPC-Web on HTTP/1.1. Headers given as undefined are not sent. */
export async function callWeb(
  url: string,
  path: string,
  { method = "POST", headers = {}, body }: RawRequest = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const sent = withoutUndefined({ "content-type": "application/grpc-web+proto", "x-grpc-web": "1", ...headers });
  const request = httpRequest({ hostname, port, path, method, headers: sent, agent: false });
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return readWeb(response.statusCode ?? 0, response.headers, await buffer(response));
}

function readWeb(http: number, received: IncomingHttpHeaders, body: Buffer): RawAnswer {
  const headers = asStrings(received);
  const type = headers["content-type"] ?? "";
  if (!type.startsWith("application/grpc-web"))
    return { http, type, headers, frames: [], trailers: {}, text: body.toString() };
  const frames = framesOf(body);
  const last = frames.at(-1);
  if (frames.slice(0, -1).some(({ flags }) => flags & 0x80)) throw new Error("something follows the trailers");
  if (last && last.flags & 0x80)
    return { http, type, headers, frames: frames.slice(0, -1), trailers: trailersOf(last.data), text: "" };
  return { http, type, headers, frames, trailers: headers, text: "" };
}

/** A call over gRPC on an HTTP/2 session. */
export async function callGrpc(
  session: ClientHttp2Session,
  path: string,
  request: RawRequest = {},
): Promise<RawAnswer> {
  const stream = openGrpc(session, path, request);
  stream.end(request.body);
  return readGrpc(stream);
}

/** Opens a stream for a call whose body comes piece by piece. */
export function openGrpc(
  session: ClientHttp2Session,
  path: string,
  { method = "POST", headers = {} }: RawRequest,
): ClientHttp2Stream {
  return session.request(
    withoutUndefined({
      ":method": method,
      ":path": path,
      "content-type": "application/grpc+proto",
      te: "trailers",
      ...headers,
    }),
  );
}

/** What comes back on a stream, when it has ended. */
export async function readGrpc(stream: ClientHttp2Stream): Promise<RawAnswer> {
  let headers: Record<string, string> = {};
  let trailers: Record<string, string> | undefined;
  stream.on("response", (received) => (headers = asStrings(received)));
  stream.on("trailers", (received: IncomingHttpHeaders) => (trailers = asStrings(received)));
  const body = await buffer(stream);
  const http = Number(headers[":status"] ?? 0);
  const type = headers["content-type"] ?? "";
  const isGrpc = type.startsWith("application/grpc");
  return {
    http,
    type,
    headers,
    frames: isGrpc ? framesOf(body) : [],
    trailers: trailers ?? (isGrpc ? headers : {}),
    text: isGrpc ? "" : body.toString(),
  };
}

/** An HTTP/2 session without TLS. */
export function openSession(url: string): ClientHttp2Session {
  return connect(url).on("error", () => undefined); // Each stream tells its own error.
}

/** The text of `grpc-message`. */
export function messageOf({ trailers }: RawAnswer): string {
  return decodeURIComponent(trailers["grpc-message"] ?? "");
}

function asStrings(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

function withoutUndefined(headers: RawRequest["headers"] & object): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) kept[name] = value;
  return kept;
}

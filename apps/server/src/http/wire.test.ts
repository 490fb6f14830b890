import type { ClientHttp2Session } from "node:http2";
import { gzipSync } from "node:zlib";
import { create, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { ConnectRequestSchema, GetJobRequestSchema, WatchRequestSchema } from "@signalbox/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestServer, type TestServer } from "../testing/open-test-server.ts";
import {
  callGrpc,
  callWeb,
  frame,
  messageOf,
  openSession,
  type RawAnswer,
  type RawRequest,
} from "../testing/raw-rpc.ts";

// What the wire says, byte by byte, where client and server may misunderstand each other: raw HTTP against both ports of a whole server.
// The cases are those of the Connect conformance suite for servers, and what else a client may come with.

let room: TestServer;
let session: ClientHttp2Session;
beforeAll(async () => {
  room = await openTestServer();
  session = openSession(room.workerUrl);
});
afterAll(async () => {
  session.destroy();
  await room[Symbol.asyncDispose]();
});

const types = "/signalbox.v1.JobService/ListJobTypes";
const getJob = "/signalbox.v1.JobService/GetJob";
const watch = "/signalbox.v1.LiveService/Watch";
const connect = "/signalbox.v1.WorkerService/Connect";
const pushLogs = "/signalbox.v1.WorkerService/PushLogs";
const reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const mebibyte = 1024 * 1024;
const encode = <D extends DescMessage>(desc: D, init: MessageInitShape<D>) => toBinary(desc, create(desc, init));
const empty = frame(new Uint8Array());
const watchJobs = encode(WatchRequestSchema, { subscriptions: [{ id: "all", kind: { case: "jobs", value: {} } }] });
const job = (jobId: string) => encode(GetJobRequestSchema, { jobId });

/** A message, made exactly so long by a field that the server does not know. */
function padded(message: Uint8Array, bytes: number): Uint8Array {
  const size = bytes - message.length - 4;
  const head = [0x7a, (size & 0x7f) | 0x80, ((size >> 7) & 0x7f) | 0x80, size >> 14];
  return Buffer.concat([message, Uint8Array.from(head), Buffer.alloc(size)]);
}

type Port = "web" | "grpc";

async function call(port: Port, path: string, { headers, ...request }: RawRequest): Promise<RawAnswer> {
  const sent = { headers: { authorization: `Bearer ${room.token}`, ...headers }, ...request };
  return port === "web" ? callWeb(room.operatorUrl, path, sent) : callGrpc(session, path, sent);
}

interface Row extends RawRequest {
  /** Default: both. */
  readonly on?: Port;
  readonly name: string;
  readonly path: string;
  /** Default 200. */
  readonly http?: number;
  /** Of the call; undefined: there is none, because the answer is no gRPC. */
  readonly status?: Code | 0;
  /** The message, or the body of an answer that is no gRPC. */
  readonly says?: RegExp;
  /** How many messages come before the trailers. */
  readonly messages?: number;
  readonly answers?: Readonly<Record<string, string>>;
}

const none = { status: 0 as const, messages: 1 };
const missing = { status: Code.Unimplemented, messages: 0, says: /missing input message/ };
const extra = { status: Code.Unimplemented, messages: 0, says: /extra input message/ };
const soon = { "grpc-timeout": "300m" };
const expires = { status: Code.DeadlineExceeded, says: /timed out/ };
const passed = { status: Code.DeadlineExceeded, messages: 0, says: /had passed already/ };
const badTimeout = { status: Code.InvalidArgument, messages: 0, says: /invalid grpc timeout/ };
const tooLarge = { status: Code.ResourceExhausted, messages: 0, says: /larger than|over the limit/ };
const noRpc = { status: Code.Unimplemented, messages: 0, says: /no such RPC/ };
const byPost = { http: 405, says: /POST|^$/, answers: { allow: "POST" } };
const wrongType = { http: 415, says: /content-type application\/grpc/ };

const rows: readonly Row[] = [
  // What is right, as the measure of what follows.
  { name: "a unary call is answered with one message and status 0", path: types, body: empty, ...none },
  { name: "an empty message is a frame of no bytes", path: types, body: empty, ...none },
  { name: "a stream of messages ends with its status", path: watch, body: frame(watchJobs), headers: soon, ...expires },
  {
    name: "a stream without messages ends with its status",
    path: watch,
    body: empty,
    status: Code.InvalidArgument,
    messages: 0,
    says: /1 to 32 subscriptions/,
  },
  { on: "grpc", name: "a stream without requests and messages is no error", path: reflection, status: 0, messages: 0 },
  {
    on: "grpc",
    name: "a bidirectional stream without requests is answered by its handler",
    path: connect,
    status: Code.InvalidArgument,
    messages: 0,
    says: /first message of Connect is hello/,
  },

  // How many messages a request has.
  { name: "unary, no request", path: types, ...missing },
  { name: "unary, two requests", path: types, body: Buffer.concat([empty, empty]), ...extra },
  { name: "server stream, no request", path: watch, ...missing },
  {
    name: "server stream, two requests",
    path: watch,
    body: Buffer.concat([frame(watchJobs), frame(watchJobs)]),
    ...extra,
  },

  // Frames and messages that are none.
  {
    name: "half a frame header",
    path: types,
    body: Buffer.from([0, 0, 0]),
    status: Code.InvalidArgument,
    messages: 0,
    says: /incomplete envelope/,
  },
  {
    name: "half a message",
    path: types,
    body: frame(Buffer.from("ab"), 0, 10),
    status: Code.InvalidArgument,
    messages: 0,
    says: /incomplete envelope/,
  },
  {
    name: "a message that is no protobuf",
    path: types,
    body: frame(Buffer.from("ffff")),
    status: Code.Internal,
    messages: 0,
    says: /parse binary/,
  },
  {
    name: "text that is not UTF-8",
    path: getJob,
    body: frame(Buffer.from([0x0a, 2, 0xc3, 0x28])),
    status: Code.Internal,
    messages: 0,
    says: /utf-8/,
  },
  {
    on: "web",
    name: "trailers after the message are dropped",
    path: types,
    body: Buffer.concat([empty, frame(Buffer.from("a: b\r\n"), 0x80)]),
    ...none,
  },
  {
    on: "web",
    name: "trailers instead of a message",
    path: types,
    body: frame(Buffer.from("a: b\r\n"), 0x80),
    ...missing,
  },
  {
    on: "grpc",
    name: "a frame of trailers is no message",
    path: types,
    body: frame(Buffer.from("a: b\r\n"), 0x80),
    status: Code.Internal,
    messages: 0,
  },

  // Verbs, addresses, types.
  ...["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"].map((method) => ({
    name: `${method} instead of POST`,
    path: types,
    method,
    ...byPost,
  })),
  { name: "an RPC that the service does not have", path: "/signalbox.v1.JobService/Nothing", body: empty, ...noRpc },
  { name: "a service that is not there", path: "/signalbox.v1.Nothing/ListJobs", body: empty, ...noRpc },
  { name: "an address with another case", path: "/signalbox.v1.jobservice/ListJobTypes", body: empty, ...noRpc },
  { name: "an address with a slash too many", path: `${types}/`, body: empty, ...noRpc },
  { on: "web", name: "a service of the other port", path: connect, body: empty, ...noRpc },
  { name: "a query beside the address is not looked at", path: `${types}?a=b`, body: empty, ...none },
  {
    on: "web",
    name: "subformat: without +proto",
    path: types,
    headers: { "content-type": "application/grpc-web" },
    body: empty,
    ...none,
  },
  {
    on: "grpc",
    name: "subformat: without +proto",
    path: types,
    headers: { "content-type": "application/grpc" },
    body: empty,
    ...none,
  },
  {
    on: "web",
    name: "subformat: +proto in capitals",
    path: types,
    headers: { "content-type": "Application/gRPC-Web+Proto" },
    body: empty,
    ...none,
  },
  {
    on: "web",
    name: "subformat: +proto with a parameter",
    path: types,
    headers: { "content-type": "application/grpc-web+proto; charset=utf-8" },
    body: empty,
    ...none,
  },
  ...[
    "application/grpc-web+json",
    "application/grpc-web+thrift",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
    "application/grpc+json",
    "application/grpc+thrift",
    "application/grpc; charset=utf-8",
    "application/xml",
    "text/plain",
    undefined,
  ].map((type) => ({
    name: `content type ${type ?? "missing"}`,
    path: types,
    headers: { "content-type": type },
    body: empty,
    ...wrongType,
  })),
  {
    on: "web",
    name: "gRPC on the port for browsers",
    path: types,
    headers: { "content-type": "application/grpc+proto" },
    body: empty,
    ...wrongType,
  },
  {
    on: "grpc",
    name: "gRPC-Web on the port for workers",
    path: types,
    headers: { "content-type": "application/grpc-web+proto" },
    body: empty,
    ...wrongType,
  },

  // Compression.
  { name: "compression: identity", path: types, headers: { "grpc-encoding": "identity" }, body: empty, ...none },
  {
    name: "compression: unknown",
    path: types,
    headers: { "grpc-encoding": "zz" },
    body: empty,
    status: Code.Unimplemented,
    messages: 0,
    says: /'zz'.*only: identity/,
    answers: { "grpc-accept-encoding": expect.stringMatching(/^identity/) as string },
  },
  {
    on: "web",
    name: "compression: gzip, which browsers do not need",
    path: types,
    headers: { "grpc-encoding": "gzip" },
    body: frame(gzipSync(""), 1),
    status: Code.Unimplemented,
    messages: 0,
    says: /'gzip'/,
    answers: { "grpc-accept-encoding": "identity" },
  },
  {
    on: "grpc",
    name: "compression: gzip",
    path: types,
    headers: { "grpc-encoding": "gzip" },
    body: frame(gzipSync(""), 1),
    ...none,
  },
  {
    on: "grpc",
    name: "compression: named, and a message that is not compressed",
    path: types,
    headers: { "grpc-encoding": "gzip" },
    body: empty,
    ...none,
  },
  {
    on: "grpc",
    name: "compression: a message that is no gzip",
    path: types,
    headers: { "grpc-encoding": "gzip" },
    body: frame(Buffer.from("no gzip"), 1),
    status: Code.InvalidArgument,
    messages: 0,
    says: /decompression failed/,
  },
  {
    name: "a compressed message without a named compression",
    path: types,
    body: frame(gzipSync(""), 1),
    status: Code.Internal,
    messages: 0,
    says: /do not know how to decompress/,
  },
  {
    name: "a compressed message with compression 'identity'",
    path: types,
    headers: { "grpc-encoding": "identity" },
    body: frame(gzipSync(""), 1),
    status: Code.Internal,
    messages: 0,
    says: /do not know how to decompress/,
  },
  {
    name: "an answer that may be compressed but is small",
    path: types,
    headers: { "grpc-accept-encoding": "gzip, br, zz" },
    body: empty,
    ...none,
  },

  // Size of a message.
  {
    name: "unary, a message of the limit",
    path: getJob,
    body: frame(padded(job("a"), mebibyte)),
    status: Code.NotFound,
    messages: 0,
    says: /no job a/,
  },
  { name: "unary, a message of one byte more", path: getJob, body: frame(padded(job("a"), mebibyte + 1)), ...tooLarge },
  {
    name: "unary, a message that claims 4 GiB",
    path: getJob,
    body: frame(new Uint8Array(), 0, 0xffff_ffff),
    ...tooLarge,
  },
  {
    name: "server stream, a message of the limit",
    path: watch,
    body: frame(padded(watchJobs, mebibyte)),
    headers: soon,
    ...expires,
  },
  {
    name: "server stream, a message of one byte more",
    path: watch,
    body: frame(padded(watchJobs, mebibyte + 1)),
    ...tooLarge,
  },
  {
    on: "grpc",
    name: "bidirectional stream, a message of the limit",
    path: connect,
    body: frame(padded(encode(ConnectRequestSchema, { message: { case: "heartbeat", value: {} } }), mebibyte)),
    status: Code.InvalidArgument,
    messages: 0,
    says: /hello/,
  },
  {
    on: "grpc",
    name: "bidirectional stream, a message of one byte more",
    path: connect,
    body: frame(padded(new Uint8Array(), mebibyte + 1)),
    ...tooLarge,
  },
  {
    on: "grpc",
    name: "compressed, a message that is small until it is taken apart",
    path: getJob,
    headers: { "grpc-encoding": "gzip" },
    body: frame(gzipSync(Buffer.alloc(20 * mebibyte)), 1),
    status: Code.ResourceExhausted,
    messages: 0,
  },

  // Deadlines.
  ...["1H", "10S", "10000m", "10000000u", "99999999n"].map((timeout) => ({
    name: `unary, a deadline of ${timeout}`,
    path: types,
    headers: { "grpc-timeout": timeout },
    body: empty,
    ...none,
  })),
  ...["0H", "0S", "0m", "0n", "1n"].flatMap((timeout) => [
    {
      name: `unary, a deadline of ${timeout}`,
      path: types,
      headers: { "grpc-timeout": timeout },
      body: empty,
      ...passed,
    },
    {
      name: `server stream, a deadline of ${timeout}`,
      path: watch,
      headers: { "grpc-timeout": timeout },
      body: frame(watchJobs),
      ...passed,
    },
  ]),
  ...["-1S", "abc", "1", "S", "1s", "1.5S", "1 S", "123456789S", "1S, 2S", ""].flatMap((timeout) => [
    {
      name: `unary, the malformed deadline '${timeout}'`,
      path: types,
      headers: { "grpc-timeout": timeout },
      body: empty,
      ...badTimeout,
    },
    {
      name: `server stream, the malformed deadline '${timeout}'`,
      path: watch,
      headers: { "grpc-timeout": timeout },
      body: frame(watchJobs),
      ...badTimeout,
    },
  ]),
  ...["24H", "25H", "99999999S", "99999999M", "99999999H"].map((timeout) => ({
    name: `unary, a deadline of ${timeout}, which is none`,
    path: types,
    headers: { "grpc-timeout": timeout },
    body: empty,
    ...none,
  })),
  {
    on: "grpc",
    name: "bidirectional stream, a deadline while it waits for the first message",
    path: pushLogs,
    headers: { "grpc-timeout": "0n" },
    body: empty,
    ...passed,
  },

  // Metadata.
  {
    name: "metadata twice, and binary metadata that is none",
    path: types,
    headers: { "x-a": ["1", "2"], "x-b-bin": ["!!", "AAA"] },
    body: empty,
    ...none,
  },
  {
    name: "metadata of an unknown user agent",
    path: types,
    headers: { "user-agent": "grpc-c++/9", "x-user-agent": "grpc-web-javascript/0.1", "grpc-message-type": "x" },
    body: empty,
    ...none,
  },

  // Errors.
  {
    name: "an error's message keeps every character",
    path: getJob,
    body: frame(job("näch %41 €😀\r\n\t")),
    status: Code.NotFound,
    messages: 0,
    says: /^There is no job näch %41 €😀\r\n\t\.$/,
  },
  {
    name: "no token",
    path: types,
    headers: { authorization: undefined },
    body: empty,
    status: Code.Unauthenticated,
    messages: 0,
    says: /token/,
  },
  {
    name: "a wrong token",
    path: types,
    headers: { authorization: "Bearer wrong" },
    body: empty,
    status: Code.Unauthenticated,
    messages: 0,
    says: /token/,
  },
  {
    name: "server stream, no token",
    path: watch,
    headers: { authorization: undefined },
    body: frame(watchJobs),
    status: Code.Unauthenticated,
    messages: 0,
    says: /token/,
  },
  {
    on: "web",
    name: "another host name",
    path: types,
    headers: { host: "evil.example" },
    body: empty,
    status: Code.PermissionDenied,
    messages: 0,
    says: /host name/,
  },
  {
    on: "web",
    name: "a page of another site",
    path: types,
    headers: { origin: "https://evil.example" },
    body: empty,
    status: Code.PermissionDenied,
    messages: 0,
    says: /other sites/,
  },
  {
    on: "web",
    name: "server stream, a page of another site",
    path: watch,
    headers: { "sec-fetch-site": "cross-site" },
    body: frame(watchJobs),
    status: Code.PermissionDenied,
    messages: 0,
    says: /other sites/,
  },
];

const expected = rows.flatMap(({ on, ...row }) =>
  (on ? [on] : (["web", "grpc"] as const)).map((port) => ({ port, row, title: `${port}: ${row.name}` })),
);

test.each(expected)("$title", async ({ port, row }) => {
  const { path, http = 200, status, says, messages, answers, method, headers, body } = row;
  const answer = await call(port, path, {
    ...(method === undefined ? {} : { method }),
    ...(headers === undefined ? {} : { headers }),
    ...(body === undefined ? {} : { body }),
  });
  expect(answer.http).toBe(http);
  expect(answer.headers).toMatchObject(answers ?? {});
  if (status === undefined) {
    expect(answer.type).not.toMatch(/^application\/grpc/);
    expect(answer.text).toMatch(says ?? /^/);
    return;
  }
  expect(answer.type).toBe(port === "web" ? "application/grpc-web+proto" : "application/grpc+proto");
  expect({ status: answer.trailers["grpc-status"], says: messageOf(answer) }).toEqual({
    status: String(status),
    says: expect.stringMatching(says ?? /^/) as string,
  });
  if (messages !== undefined) expect(answer.frames).toHaveLength(messages);
  for (const { flags } of answer.frames) expect(flags).toBe(0);
});

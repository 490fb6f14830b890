import { connect, createServer, type ClientHttp2Session, type ClientHttp2Stream, type Http2Server } from "node:http2";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  PushLogsRequestSchema,
  PushLogsResponseSchema,
  WorkerService,
  type PushLogsRequest,
  type PushLogsResponse,
} from "@signalbox/protocol";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { servePlainStream, type PlainStream } from "./plain-stream.ts";

type Served = PlainStream<typeof PushLogsRequestSchema, typeof PushLogsResponseSchema>;

const limit = 1024 * 1024;
let closing: (() => void)[] = [];
afterEach(() => {
  closing.forEach((close) => close());
  closing = [];
});

/** A server whose general handler answers 418, and a client of it. */
async function open(handle: Served["handle"], more: Partial<Served> = {}) {
  const server: Http2Server = createServer((_request, response) => response.writeHead(418).end());
  servePlainStream(server, {
    method: WorkerService.method.pushLogs,
    handle,
    admits: () => true,
    toError: (error) => (error instanceof ConnectError ? error : new ConnectError(String(error), Code.Internal)),
    shutdown: new AbortController().signal,
    readMaxBytes: limit,
    ...more,
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  closing.push(() => (client.destroy(), server.close()));
  return client;
}

function call(client: ClientHttp2Session, headers: Record<string, string> = {}) {
  const stream = client.request({
    ":method": "POST",
    ":path": "/signalbox.v1.WorkerService/PushLogs",
    "content-type": "application/grpc+proto",
    te: "trailers",
    ...headers,
  });
  const answer = { status: 0, trailers: {} as Record<string, unknown>, messages: [] as PushLogsResponse[] };
  const closed = new Promise<typeof answer>((resolve) => stream.on("close", () => resolve(answer)));
  let rest: Buffer = Buffer.alloc(0);
  stream.on("error", () => undefined); // A test that cuts the stream expects it.
  stream.on("response", (head) => (answer.status = Number(head[":status"])));
  stream.on("trailers", (trailers: Record<string, unknown>) => (answer.trailers = trailers));
  stream.on("data", (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1);
      answer.messages.push(fromBinary(PushLogsResponseSchema, rest.subarray(5, end)));
      rest = rest.subarray(end);
    }
  });
  return { stream, answer, ended: closed };
}

function frame(message: Uint8Array, flag = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const chunk = (value: Uint8Array) =>
  toBinary(PushLogsRequestSchema, create(PushLogsRequestSchema, { message: { case: "chunk", value } }));

const respond = (nextLine: number) => create(PushLogsResponseSchema, { nextLine: BigInt(nextLine) });

/** Answers each request with the number of bytes of its chunk. */
async function* sizes(requests: AsyncIterator<PushLogsRequest>) {
  for (let next = await requests.next(); !next.done; next = await requests.next()) {
    const { message } = next.value;
    yield respond(message.case === "chunk" ? message.value.length : 0);
  }
}

async function write(stream: ClientHttp2Stream, bytes: Buffer, pieces: readonly number[]) {
  let at = 0;
  for (const piece of [...pieces, bytes.length]) {
    const end = Math.min(bytes.length, at + piece);
    if (end > at) await new Promise((resolve) => stream.write(bytes.subarray(at, end), resolve));
    at = end;
  }
}

describe("a plain streaming call", () => {
  test("has every message arrive whole, wherever the bytes are cut", async () => {
    const client = await open(sizes);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 30 }),
        async (lengths, pieces) => {
          const { stream, ended } = call(client);
          await write(stream, Buffer.concat(lengths.map((length) => frame(chunk(new Uint8Array(length))))), pieces);
          stream.end();
          const { status, trailers, messages } = await ended;
          expect(messages.map(({ nextLine }) => Number(nextLine))).toEqual(lengths);
          expect([status, trailers["grpc-status"]]).toEqual([200, "0"]);
        },
      ),
      { numRuns: 40 },
    );
  });

  test.each([
    ["over the limit", Buffer.from([0, 0, 0x10, 0, 1]), Code.ResourceExhausted],
    ["that is cut off", frame(chunk(new Uint8Array(100))).subarray(0, 50), Code.InvalidArgument],
    ["that is no message", frame(Buffer.from([0xff, 0xff, 0xff])), Code.InvalidArgument],
    ["that says it is compressed", frame(chunk(new Uint8Array(3)), 1), Code.Internal],
  ])("ends with the reason at a message %s", async (_, bytes, code) => {
    const { stream, ended } = call(await open(sizes));
    stream.end(bytes);
    const { trailers } = await ended;
    expect(Number(trailers["grpc-status"])).toBe(code);
    expect(trailers["grpc-message"]).toBeTruthy();
  });

  test("takes a message of exactly the limit", async () => {
    const { stream, ended } = call(await open(sizes));
    const message = chunk(new Uint8Array(limit - 4));
    expect(message.length).toBe(limit);
    stream.end(frame(message));
    expect((await ended).messages.map(({ nextLine }) => nextLine)).toEqual([BigInt(limit - 4)]);
  });

  test("tells what the handler threw, with its details", async () => {
    const failing = async function* () {
      yield respond(1);
      throw new ConnectError("näher", Code.Aborted, undefined, [{ desc: PushLogsResponseSchema, value: respond(7) }]);
    };
    const { answer, ended } = call(await open(failing));
    await ended;
    expect(answer.messages).toHaveLength(1);
    expect(answer.trailers).toMatchObject({ "grpc-status": String(Code.Aborted), "grpc-message": "n%C3%A4her" });
    expect(answer.trailers["grpc-status-details-bin"]).toBeTruthy();
  });

  test("aborts its handler when the client goes away", async () => {
    let signal: AbortSignal | undefined;
    const waiting: Served["handle"] = async function* (requests, aborted) {
      signal = aborted;
      yield respond(1);
      await requests.next();
    };
    const { stream, answer } = call(await open(waiting));
    await vi.waitFor(() => expect(answer.messages).toHaveLength(1));
    stream.close(8);
    await vi.waitFor(() => expect(signal?.aborted).toBe(true));
  });

  test("hears UNAVAILABLE when the server stops", async () => {
    const shutdown = new AbortController();
    const client = await open(sizes, { shutdown: shutdown.signal, toError: (_, { reason }) => reason as ConnectError });
    const { stream, answer, ended } = call(client);
    stream.write(frame(chunk(new Uint8Array(1))));
    await vi.waitFor(() => expect(answer.messages).toHaveLength(1));
    shutdown.abort(new ConnectError("stopping", Code.Unavailable));
    expect((await ended).trailers["grpc-status"]).toBe(String(Code.Unavailable));
  });

  test("is not read further than its handler asks", async () => {
    let ask: () => void = () => undefined;
    const slow: Served["handle"] = async function* (requests) {
      yield respond(0);
      await new Promise<void>((resolve) => (ask = resolve));
      yield* sizes(requests);
    };
    const { stream, answer, ended } = call(await open(slow));
    const message = frame(chunk(new Uint8Array(200_000)));
    for (let i = 0; i < 20; i++) stream.write(message);
    stream.end();
    await vi.waitFor(() => expect(answer.messages).toHaveLength(1));
    // The window of a stream is 64 KiB here: nearly all of it waits at the client.
    expect(stream.writableLength).toBeGreaterThan(18 * message.length);
    ask();
    expect((await ended).messages).toHaveLength(21);
  });

  test.each([
    ["is compressed", { "grpc-encoding": "gzip" }],
    ["has a deadline", { "grpc-timeout": "5S" }],
    ["is of another codec", { "content-type": "application/grpc+json" }],
    ["is not a POST", { ":method": "PUT" }],
    ["calls something else", { ":path": "/signalbox.v1.WorkerService/Connect" }],
  ])("goes the general way when it %s", async (_, headers: Record<string, string>) => {
    const { stream, ended } = call(await open(sizes), headers);
    stream.end();
    expect((await ended).status).toBe(418);
  });

  test("goes the general way when its caller is not known", async () => {
    const { stream, ended } = call(await open(sizes, { admits: () => false }));
    stream.end();
    expect((await ended).status).toBe(418);
  });
});

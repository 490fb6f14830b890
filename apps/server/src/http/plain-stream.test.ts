import { connect, createServer, type ClientHttp2Session, type ClientHttp2Stream, type Http2Server } from "node:http2";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { PushLogsRequestSchema, PushLogsResponseSchema, type PushLogsResponse } from "@signalbox/protocol";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { servePlainStream, type PlainAccess, type PlainCall, type PlainReader } from "./plain-stream.ts";

const path = "/signalbox.v1.WorkerService/PushLogs";
const limit = 1024 * 1024;
let closing: (() => void)[] = [];
afterEach(() => {
  closing.forEach((close) => close());
  closing = [];
});

/** A server whose general handler answers 418, and a client of it. */
async function open(
  accept: (call: PlainCall) => Partial<PlainReader>,
  more: Partial<PlainAccess> = {},
  windowBytes = 65_535,
) {
  const server: Http2Server = createServer(
    { settings: { initialWindowSize: windowBytes } },
    (_request, response) => void response.writeHead(418).end(),
  );
  server.on("session", (session) => session.setLocalWindowSize(windowBytes));
  servePlainStream(
    server,
    {
      path,
      accept: (call) => ({
        message: () => undefined,
        ended: () => call.end(),
        failed: (error) => call.end(error),
        closed: () => undefined,
        writable: () => undefined,
        ...accept(call),
      }),
    },
    {
      callerOf: () => ({ kind: "machine", name: "token", address: "" }),
      shutdown: new AbortController().signal,
      readMaxBytes: limit,
      ...more,
    },
    (error) => (error instanceof ConnectError ? error : new ConnectError(String(error), Code.Internal)),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  closing.push(() => (client.destroy(), server.close()));
  return client;
}

function call(client: ClientHttp2Session, headers: Record<string, string> = {}) {
  const stream = client.request({
    ":method": "POST",
    ":path": path,
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
const answerOf = (nextLine: number) => frame(toBinary(PushLogsResponseSchema, respond(nextLine)));

/** Answers each request with the number of bytes of its chunk. */
function sizes(call: PlainCall): Pick<PlainReader, "message"> {
  return {
    message(bytes) {
      let message;
      try {
        ({ message } = fromBinary(PushLogsRequestSchema, bytes));
      } catch (error) {
        throw new ConnectError("no message", Code.InvalidArgument, undefined, undefined, error);
      }
      call.send(answerOf(message.case === "chunk" ? message.value.length : 0));
    },
  };
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

  test("tells why it was ended, with the details", async () => {
    const client = await open((call) => {
      call.send(answerOf(1));
      queueMicrotask(() =>
        call.end(
          new ConnectError("näher", Code.Aborted, undefined, [{ desc: PushLogsResponseSchema, value: respond(7) }]),
        ),
      );
      return {};
    });
    const { answer, ended } = call(client);
    await ended;
    expect(answer.messages).toHaveLength(1);
    expect(answer.trailers).toMatchObject({ "grpc-status": String(Code.Aborted), "grpc-message": "n%C3%A4her" });
    expect(answer.trailers["grpc-status-details-bin"]).toBeTruthy();
  });

  test("ends with what its reader throws", async () => {
    const client = await open(() => ({
      message: () => {
        throw new ConnectError("not this one", Code.FailedPrecondition);
      },
    }));
    const { stream, ended } = call(client);
    stream.write(frame(chunk(new Uint8Array(1))));
    expect((await ended).trailers).toMatchObject({ "grpc-status": String(Code.FailedPrecondition) });
  });

  test("tells its reader when the client goes away", async () => {
    const closed = vi.fn();
    const client = await open((call) => {
      queueMicrotask(() => call.send(answerOf(1)));
      return { closed };
    });
    const { stream, answer } = call(client);
    await vi.waitFor(() => expect(answer.messages).toHaveLength(1));
    expect(closed).not.toHaveBeenCalled();
    stream.close(8);
    await vi.waitFor(() => expect(closed).toHaveBeenCalled());
  });

  test("hears UNAVAILABLE when the server stops", async () => {
    const shutdown = new AbortController();
    const client = await open(sizes, { shutdown: shutdown.signal });
    const { stream, answer, ended } = call(client);
    stream.write(frame(chunk(new Uint8Array(1))));
    await vi.waitFor(() => expect(answer.messages).toHaveLength(1));
    shutdown.abort(new ConnectError("stopping", Code.Unavailable));
    expect((await ended).trailers["grpc-status"]).toBe(String(Code.Unavailable));
  });

  test("is not read while its reader wants nothing, and goes on where it stood", async () => {
    let wanted: () => void = () => undefined;
    const client = await open((call) => {
      call.want(false);
      wanted = () => call.want(true);
      queueMicrotask(() => call.send(answerOf(0)));
      return sizes(call);
    });
    const { stream, answer, ended } = call(client);
    const message = frame(chunk(new Uint8Array(200_000)));
    for (let i = 0; i < 20; i++) stream.write(message);
    stream.end();
    await vi.waitFor(() => expect(answer.messages).toHaveLength(1));
    // The window of a stream is 64 KiB here: nearly all of it waits at the client.
    expect(stream.writableLength).toBeGreaterThan(18 * message.length);
    wanted();
    expect((await ended).messages).toHaveLength(21);
  });

  test("is given 64 KiB, and then the others are heard, however much of it is there", async () => {
    let turn = 0;
    let next: NodeJS.Immediate;
    const count = () => {
      turn++;
      next = setImmediate(count);
    };
    count();
    closing.push(() => clearImmediate(next));
    const byTurn = new Map<number, number>();
    let go: () => void = () => undefined;
    const client = await open(
      (call) => {
        call.want(false);
        go = () => call.want(true);
        return { message: ({ length }) => byTurn.set(turn, (byTurn.get(turn) ?? 0) + length) };
      },
      {},
      4 * limit,
    );
    const { stream, ended } = call(client);
    const message = frame(chunk(new Uint8Array(10_000)));
    for (let i = 0; i < 100; i++) stream.write(message);
    stream.end();
    await vi.waitFor(() => expect(stream.writableLength).toBe(0), { timeout: 10_000 });
    go();
    await ended;
    expect([...byTurn.values()].reduce((sum, bytes) => sum + bytes)).toBe(100 * (message.length - 5));
    expect(Math.max(...byTurn.values())).toBeLessThan(64 * 1024 + message.length);
  });

  test("says when its client takes no more answers, and when it does again", async () => {
    const client = await open((call) => {
      let sent = 0;
      const flood = () => {
        while (call.canSend && sent < 2000) {
          call.send(frame(toBinary(PushLogsResponseSchema, respond(2 ** 50))));
          sent++;
        }
        if (sent === 2000) call.end();
      };
      queueMicrotask(flood);
      return { writable: flood };
    });
    expect((await call(client).ended).messages).toHaveLength(2000);
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
    const { stream, ended } = call(await open(sizes, { callerOf: () => undefined }));
    stream.end();
    expect((await ended).status).toBe(418);
  });
});

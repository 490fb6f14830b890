import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { constants, type ClientHttp2Session } from "node:http2";
import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { AnySchema, anyUnpack, type Any } from "@bufbuild/protobuf/wkt";
import { Code, createClient, type Interceptor } from "@connectrpc/connect";
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  GetJobRequestSchema,
  InputRefusalSchema,
  JobService,
  LogRefusalSchema,
  PushLogsRequestSchema,
  PushLogsResponseSchema,
  SendInputRequestSchema,
  WatchRequestSchema,
  WatchResponseSchema,
  WorkerService,
  type AttemptSpec,
} from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { TestRoom } from "../testing/open-test-room.ts";
import { openTestServer, type TestServer } from "../testing/open-test-server.ts";
import {
  callGrpc,
  callWeb,
  frame,
  framesOf,
  messageOf,
  openGrpc,
  openSession,
  readGrpc,
  trailersOf,
  type RawAnswer,
  type RawRequest,
} from "../testing/raw-rpc.ts";
import { TestWorker } from "../testing/test-worker.ts";
import { bearer, grpc, startOperatorListener, startWorkerListener } from "./test-listeners.ts";

// What a table of single questions and answers cannot say of the wire: see wire.test.ts.

let room: TestServer;
let session: ClientHttp2Session;
beforeEach(async () => {
  room = await openTestServer();
  session = openSession(room.workerUrl);
});
afterEach(async () => {
  session.destroy();
  await room[Symbol.asyncDispose]();
});

const getJob = "/signalbox.v1.JobService/GetJob";
const types = "/signalbox.v1.JobService/ListJobTypes";
const watch = "/signalbox.v1.LiveService/Watch";
const connect = "/signalbox.v1.WorkerService/Connect";
const pushLogs = "/signalbox.v1.WorkerService/PushLogs";
const sendInput = "/signalbox.v1.JobService/SendInput";

const mebibyte = 1024 * 1024;
const encode = <D extends DescMessage>(desc: D, init: MessageInitShape<D>) => toBinary(desc, create(desc, init));
const watchJobs = encode(WatchRequestSchema, { subscriptions: [{ id: "all", kind: { case: "jobs", value: {} } }] });
const soon = { "grpc-timeout": "300m" };
/** Long enough for the first messages on a busy machine. */
const inAWhile = { "grpc-timeout": "3S" };
const auth = () => ({ authorization: `Bearer ${room.token}` });

type Port = "web" | "grpc";

async function call(port: Port, path: string, { headers, ...request }: RawRequest): Promise<RawAnswer> {
  const sent = { headers: { ...auth(), ...headers }, ...request };
  return port === "web" ? callWeb(room.operatorUrl, path, sent) : callGrpc(session, path, sent);
}

/** A client on the worker port, for what is not under test. */
const transport = () => grpc(room.workerUrl, auth());
const jobs = () => createClient(JobService, transport());

/** A running job whose type takes input. */
async function running(): Promise<{ worker: TestWorker; spec: AttemptSpec }> {
  const worker = new TestWorker(createClient(WorkerService, transport()), {
    types: [{ name: "count", takesInput: true }],
  });
  onTestFinished(() => worker.kill());
  await worker.heard("welcome");
  await jobs().startJob({ requestId: "1", type: "count" });
  const spec = await worker.heard("spec");
  worker.report(spec);
  const startedAt = async () => (await jobs().getJob({ jobId: spec.jobId })).job?.attempts[0]?.startedAtUs;
  await expect.poll(startedAt).toBeGreaterThan(0n);
  return { worker, spec };
}

/** A job that takes no more input: whoever sends some waits. Returns such a request. */
async function fullInput(): Promise<Buffer> {
  const { spec } = await running();
  const piece = { jobId: spec.jobId, data: new Uint8Array(64 * 1024) };
  for (let bytes = 0; bytes < mebibyte; bytes += piece.data.length) await jobs().sendInput(piece);
  return frame(encode(SendInputRequestSchema, piece));
}

describe.each(["web", "grpc"] as const)("%s", (port) => {
  test("messages of a stream are whole frames, in order, before the trailers", async () => {
    const { frames } = await call(port, watch, { headers: inAWhile, body: frame(watchJobs) });
    const kinds = frames.map(({ data }) => fromBinary(WatchResponseSchema, data).message.case);
    expect(kinds.slice(0, 2)).toEqual(["hello", "caughtUp"]);
  });

  test("an error carries its details for programs", async () => {
    const { spec } = await running();
    const body = frame(encode(SendInputRequestSchema, { jobId: spec.jobId, offset: 5n, data: Buffer.from("x") }));
    const answer = await call(port, sendInput, { body });
    expect(answer.trailers["grpc-status"]).toBe(String(Code.Aborted));
    const status = readStatus(answer);
    expect(status).toMatchObject({ code: Code.Aborted, message: messageOf(answer) });
    expect(status.details.map((detail) => anyUnpack(detail, InputRefusalSchema))).toMatchObject([{ nextOffset: 0n }]);
  });

  test("a deadline ends a unary call that waits", async () => {
    const answer = await call(port, sendInput, { headers: soon, body: await fullInput() });
    expect(answer.trailers["grpc-status"]).toBe(String(Code.DeadlineExceeded));
  });

  test("a unary call that is broken off waits no more", async () => {
    const body = await fullInput();
    const waiting = Array.from({ length: 64 }, () => breakable(port, sendInput, body));
    const oneMore = () => call(port, sendInput, { headers: { "grpc-timeout": "100m" }, body });
    await expect
      .poll(async () => messageOf(await oneMore()), { timeout: 10_000 })
      .toContain("64 requests wait already");
    for (const each of waiting) each.breakOff();
    await expect
      .poll(async () => (await oneMore()).trailers["grpc-status"], { timeout: 10_000 })
      .toBe(String(Code.DeadlineExceeded));
  });
});

test("a body that comes byte by byte is understood", async () => {
  const stream = openGrpc(session, getJob, { headers: auth() });
  const answer = readGrpc(stream);
  for (const byte of frame(encode(GetJobRequestSchema, { jobId: "slow" })))
    await new Promise<void>((resolve) => stream.write(Buffer.from([byte]), () => resolve()));
  stream.end();
  expect(messageOf(await answer)).toBe("There is no job slow.");
});

test("Connect's own JSON may name its character set, and a huge deadline of that protocol is none", async () => {
  const headers = { "content-type": "application/json; charset=utf-8", "connect-timeout-ms": "9999999999" };
  const answer = await call("web", types, { headers, body: Buffer.from("{}") });
  expect([answer.http, answer.text]).toEqual([200, "{}"]);
});

test("lines over the limit of a message end their own stream only", async () => {
  const { worker, spec } = await running();
  const open = frame(
    encode(PushLogsRequestSchema, {
      message: { case: "open", value: { jobId: spec.jobId, attempt: 1, incarnation: worker.incarnation } },
    }),
  );
  const chunk = (bytes: number) => {
    // Field 2 with a length of three bytes.
    const head = [0x12, (bytes & 0x7f) | 0x80, ((bytes >> 7) & 0x7f) | 0x80, bytes >> 14];
    return frame(Buffer.concat([Uint8Array.from(head), Buffer.alloc(bytes)]));
  };
  const atLimit = await call("grpc", pushLogs, { body: Buffer.concat([open, chunk(mebibyte - 4)]) });
  expect(atLimit.trailers["grpc-status"]).toBe(String(Code.InvalidArgument));
  expect(readStatus(atLimit).details.map((detail) => anyUnpack(detail, LogRefusalSchema))).toMatchObject([
    { nextLine: 1n },
  ]);
  expect(atLimit.frames.map(({ data }) => fromBinary(PushLogsResponseSchema, data).nextLine)).toEqual([1n]);

  const over = await call("grpc", pushLogs, { body: Buffer.concat([open, chunk(mebibyte - 3)]) });
  expect(over.trailers["grpc-status"]).toBe(String(Code.ResourceExhausted));
  expect(worker.isOpen).toBe(true);
});

test("a worker whose stream is reset is not connected any more", async () => {
  const hello = frame(
    encode(ConnectRequestSchema, {
      message: { case: "hello", value: { workerId: "raw", incarnation: "i".repeat(16), slots: 1 } },
    }),
  );
  const sessions = () => [...room.server.domain.workers.sessions].map(({ workerId }) => workerId);
  const stream = openGrpc(session, connect, { headers: auth() }).on("error", () => undefined);
  stream.write(hello);
  const [first] = framesOf((await once(stream, "data"))[0] as Buffer);
  expect(first && fromBinary(ConnectResponseSchema, first.data).message.case).toBe("welcome");
  expect(sessions()).toEqual(["raw"]);
  stream.close(constants.NGHTTP2_CANCEL);
  await expect.poll(sessions).toEqual([]);
});

test("a deadline ends a worker's stream with a status", async () => {
  const hello = frame(
    encode(ConnectRequestSchema, {
      message: { case: "hello", value: { workerId: "raw", incarnation: "i".repeat(16), slots: 1 } },
    }),
  );
  const stream = openGrpc(session, connect, { headers: { ...auth(), ...inAWhile } });
  stream.write(hello);
  const answer = await readGrpc(stream);
  expect(answer.frames.length).toBeGreaterThanOrEqual(1);
  expect(answer.trailers["grpc-status"]).toBe(String(Code.DeadlineExceeded));
});

test("a server that stops says so on every open stream", async () => {
  const answers = [call("web", watch, { body: frame(watchJobs) }), call("grpc", watch, { body: frame(watchJobs) })];
  const { worker } = await running();
  await room.server.stop();
  for (const answer of await Promise.all(answers))
    expect([answer.trailers["grpc-status"], messageOf(answer)]).toEqual([
      String(Code.Unavailable),
      "The server is stopping: connect again.",
    ]);
  await worker.end();
  expect(worker.ended).toMatchObject({ code: Code.Unavailable });
});

test("handlers of streams that are broken off, before or after the first message, come to an end", async () => {
  await using parts = await TestRoom.open();
  let entered = 0;
  let open = 0;
  const counting: Interceptor = (next) => async (request) => {
    const response = await next(request);
    if (!response.stream) return response;
    async function* counted<T>(messages: AsyncIterable<T>) {
      entered++;
      open++;
      try {
        yield* messages;
      } finally {
        open--;
      }
    }
    return { ...response, message: counted(response.message) };
  };
  const { operatorRoutes, workerRoutes } = parts.domain.domain;
  const web = await startOperatorListener({ routes: operatorRoutes, interceptors: [counting] });
  const workers = await startWorkerListener({}, { routes: workerRoutes, interceptors: [counting] });
  const http2 = openSession(workers.url);
  onTestFinished(() => http2.destroy());
  const body = frame(watchJobs);

  for (const breakOff of [breakWeb, breakGrpc]) {
    // In the middle of the request.
    await breakOff(body.subarray(0, 7), false);
    // After the first message.
    await breakOff(body, true);
  }
  expect(entered).toBe(2);
  await expect.poll(() => open).toBe(0);
  await expect.poll(() => web.metrics.operatorConnections.get().then(({ values }) => values[0]?.value)).toBe(0);

  async function breakWeb(bytes: Uint8Array, untilMessage: boolean) {
    const request = httpRequest(`${web.url}${watch}`, {
      method: "POST",
      agent: false,
      headers: { ...bearer, "content-type": "application/grpc-web+proto", "content-length": body.length },
    }).on("error", () => undefined); // It is broken off here.
    await new Promise<void>((resolve) => request.write(bytes, () => resolve()));
    if (untilMessage) {
      const [response] = (await once(request, "response")) as [IncomingMessage];
      await once(response, "readable");
      expect(open).toBe(1);
    }
    request.destroy();
    await expect.poll(() => open).toBe(0);
  }

  async function breakGrpc(bytes: Uint8Array, untilMessage: boolean) {
    const stream = openGrpc(http2, watch, { headers: bearer }).on("error", () => undefined); // It is broken off here.
    await new Promise<void>((resolve) => stream.write(bytes, () => resolve()));
    if (untilMessage) {
      stream.end();
      await once(stream, "readable");
      expect(open).toBe(1);
    }
    stream.close(constants.NGHTTP2_CANCEL);
    await once(stream, "close");
    await expect.poll(() => open).toBe(0);
  }
});

test("a unary call whose message never comes is cut, and a stream of messages is not", async () => {
  await using parts = await TestRoom.open();
  const { url } = await startWorkerListener({ requestTimeoutMs: 200 }, { routes: parts.domain.domain.workerRoutes });
  const http2 = openSession(url);
  onTestFinished(() => http2.destroy());
  const hello = openGrpc(http2, connect, { headers: bearer }).on("error", () => undefined);
  hello.write(
    frame(
      encode(ConnectRequestSchema, {
        message: { case: "hello", value: { workerId: "raw", incarnation: "i".repeat(16), slots: 1 } },
      }),
    ),
  );
  const live = openGrpc(http2, watch, { headers: bearer }).on("error", () => undefined);
  live.end(frame(watchJobs));
  await Promise.all([once(hello, "readable"), once(live, "readable")]);
  for (const path of [types, watch]) {
    const late = openGrpc(http2, path, { headers: bearer }).on("error", () => undefined);
    late.write(Buffer.from([0, 0]));
    await once(late, "close");
    expect(late.rstCode).toBe(constants.NGHTTP2_CANCEL);
  }
  expect([hello.closed, live.closed]).toEqual([false, false]);
});

test("gRPC-Web trailers are one block of printable ASCII with lower-case names", () => {
  expect(trailersOf(Buffer.from("grpc-status: 5\r\ngrpc-message:a%20b\r\n"))).toEqual({
    "grpc-status": "5",
    "grpc-message": "a%20b",
  });
  for (const wrong of ["Grpc-Status: 5\r\n", "grpc-status: 5\n", "grpc-status: 5", "grpc-message: ä\r\n"])
    expect(() => trailersOf(Buffer.from(wrong))).toThrow();
});

/** A call that can be broken off by the client. */
function breakable(port: Port, path: string, body: Uint8Array): { breakOff: () => void } {
  if (port === "grpc") {
    const stream = openGrpc(session, path, { headers: auth() }).on("error", () => undefined); // It is broken off here.
    stream.end(body);
    return { breakOff: () => stream.close(constants.NGHTTP2_CANCEL) };
  }
  const request = httpRequest(`${room.operatorUrl}${path}`, {
    method: "POST",
    agent: false,
    headers: { ...auth(), "content-type": "application/grpc-web+proto" },
  }).on("error", () => undefined); // It is broken off here.
  request.end(body);
  return { breakOff: () => request.destroy() };
}

/** google.rpc.Status, of which the project has no definition. */
function readStatus({ trailers }: RawAnswer): { code: number; message: string; details: Any[] } {
  const reader = new BinaryReader(Buffer.from(trailers["grpc-status-details-bin"] ?? "", "base64"));
  const status = { code: 0, message: "", details: [] as Any[] };
  while (reader.pos < reader.len) {
    const [field] = reader.tag();
    if (field === 1) status.code = reader.int32();
    else if (field === 2) status.message = reader.string();
    else status.details.push(fromBinary(AnySchema, reader.bytes()));
  }
  return status;
}

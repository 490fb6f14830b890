import { once } from "node:events";
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from "node:http2";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { JobService, LiveService, LogService, WorkerService, type WatchResponse } from "@signalbox/protocol";
import { expect, onTestFinished, test } from "vitest";
import { bearer, grpc, startWorkerListener } from "./test-listeners.ts";

const codeOf = (error: unknown) => ConnectError.from(error).code;

function rawSession(url: string): ClientHttp2Session {
  const session = connectHttp2(url).on("error", () => undefined);
  onTestFinished(() => session.destroy());
  return session;
}

async function callRaw(session: ClientHttp2Session, headers: Record<string, string>, body?: Uint8Array) {
  const stream = session.request({
    ":method": "POST",
    ":path": "/signalbox.v1.JobService/ListJobs",
    "content-type": "application/grpc+proto",
    te: "trailers",
    ...headers,
  });
  const answer = { status: 0, type: "", grpcStatus: "" };
  const take = (received: IncomingHttpHeaders & IncomingHttpStatusHeader) => {
    answer.status = received[":status"] ?? answer.status;
    answer.type = received["content-type"] ?? answer.type;
    answer.grpcStatus = received["grpc-status"]?.toString() ?? answer.grpcStatus;
  };
  stream.on("response", take).on("trailers", take);
  stream.end(body);
  stream.resume();
  await once(stream, "close");
  return answer;
}

test("without the token a call ends with status UNAUTHENTICATED the way gRPC clients expect", async () => {
  const { url, metrics } = await startWorkerListener();
  const session = rawSession(url);
  for (const headers of [{}, { authorization: "Bearer wrong" }, { cookie: `signalbox_9090=${bearer.authorization}` }]) {
    const answer = await callRaw(session, headers);
    expect(answer).toMatchObject({ status: 200, type: "application/grpc+proto", grpcStatus: "16" });
  }
  expect(await metrics.registry.metrics()).toContain(
    'signalbox_refused_requests_total{listener="worker",reason="not signed in"} 3',
  );
});

test("with the token bidirectional streams interleave, on 127.0.0.1 and on ::1", async () => {
  const { listener } = await startWorkerListener();
  for (const host of ["127.0.0.1", "[::1]"]) {
    const sent: (() => void)[] = [];
    const client = createClient(WorkerService, grpc(`http://${host}:${listener.port}`));
    async function* requests() {
      for (let count = 0; count < 3; count++) {
        yield { message: { case: "heartbeat" as const, value: {} } };
        await new Promise<void>((resolve) => sent.push(resolve));
      }
    }
    let answers = 0;
    for await (const _ of client.connect(requests())) {
      answers++;
      sent.shift()?.();
    }
    expect(answers).toBe(3);
  }
});

test.each(["application/grpc-web+proto", "application/json", "text/plain"])(
  "content type %s is refused: this port speaks gRPC only",
  async (type) => {
    const { url } = await startWorkerListener();
    expect((await callRaw(rawSession(url), { ...bearer, "content-type": type })).status).toBe(415);
  },
);

test("an unknown RPC is UNIMPLEMENTED", async () => {
  const { transport } = await startWorkerListener();
  const { readLogs } = createClient(LogService, transport);
  await expect(readLogs({}).catch(codeOf)).resolves.toBe(Code.Unimplemented);
});

test("a message over the limit, and a gzip bomb, are RESOURCE_EXHAUSTED, and a stream beside them goes on", async () => {
  const { url, transport, tick } = await startWorkerListener();
  const canary = createClient(LiveService, transport).watch({})[Symbol.asyncIterator]();
  await canary.next();

  const jobs = createClient(JobService, transport);
  await expect(jobs.listJobs({ pageToken: "x".repeat(1024 * 1024 + 1) }).catch(codeOf)).resolves.toBe(
    Code.ResourceExhausted,
  );
  const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024));
  const frame = Buffer.concat([Buffer.from([1, 0, 0, 0, 0]), bomb]);
  frame.writeUInt32BE(bomb.length, 1);
  const answer = await callRaw(rawSession(url), { ...bearer, "grpc-encoding": "gzip" }, frame);
  expect(answer.grpcStatus).toBe("8");
  const claim = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
  expect((await callRaw(rawSession(url), bearer, claim)).grpcStatus).toBe("8");

  tick();
  expect(((await canary.next()).value as WatchResponse).message.case).toBe("heartbeat");
});

test("HTTP/1.1 is told in plain words that this is not its port", async () => {
  const { url } = await startWorkerListener();
  const answer = await fetch(url);
  expect(answer.status).toBe(505);
  expect(await answer.text()).toContain("http://localhost:8080");
});

test.each([
  ["sends nothing", Buffer.alloc(0)],
  ["sends half a preface", Buffer.from("PRI * HT")],
  ["speaks TLS", Buffer.from([0x16, 3, 1, 2, 0, 1, 0])],
])("a connection that %s is cut", async (_what, bytes) => {
  const { listener } = await startWorkerListener({ prefaceTimeoutMs: 200 });
  const socket = connect(listener.port, "127.0.0.1").on("error", () => undefined);
  socket.resume();
  if (bytes.length > 0) socket.write(bytes);
  await once(socket, "close");
});

test("a preface that arrives byte by byte is understood", async () => {
  const { listener } = await startWorkerListener();
  const socket = connect(listener.port, "127.0.0.1").setNoDelay();
  onTestFinished(() => void socket.destroy());
  for (const byte of Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")) {
    await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve));
  }
  const [first] = (await once(socket, "data")) as [Buffer];
  // The server's SETTINGS frame.
  expect(first[3]).toBe(4);
});

test("a session that says nothing for long lives as long as it answers pings", async () => {
  const pings = { everyMs: 20, answerWithinMs: 2_000, lookEveryMs: 10 };
  const { url, tick } = await startWorkerListener({ pings });
  const transport = grpc(url);
  const quiet = createClient(LiveService, transport).watch({})[Symbol.asyncIterator]();
  await quiet.next();
  const witness = rawSession(url);
  for (let count = 0; count < 20; count++) await once(witness, "ping");
  tick();
  expect(((await quiet.next()).value as WatchResponse).message.case).toBe("heartbeat");
});

test("a session whose other end does not answer pings is destroyed", async () => {
  const { listener } = await startWorkerListener({ pings: { everyMs: 20, answerWithinMs: 100, lookEveryMs: 10 } });
  const socket = connect(listener.port, "127.0.0.1").on("error", () => undefined);
  // A preface and empty settings, and then silence: no acknowledgement of anything.
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
  socket.resume();
  await once(socket, "close");
});

test("when this process stood still, sessions get their time again", async () => {
  const { url, listener } = await startWorkerListener({ pings: { everyMs: 1, answerWithinMs: 150, lookEveryMs: 20 } });
  const socket = connect(listener.port, "127.0.0.1").on("error", () => undefined);
  let closedAt = 0;
  socket.on("close", () => (closedAt = performance.now()));
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
  socket.resume();
  const healthy = rawSession(url);
  await once(healthy, "ping");
  // Both sessions wait for an answer now, or will; the process stops for longer than an answer may take.
  const until = performance.now() + 400;
  while (performance.now() < until);
  await once(healthy, "ping");
  expect(closedAt).toBe(0);
  await once(socket, "close");
  expect(closedAt - until).toBeGreaterThanOrEqual(140);
});

test("stopping ends streams with UNAVAILABLE within a second, and can be asked for twice", async () => {
  const { url, listener } = await startWorkerListener();
  // 3 sessions with 20 streams each; of half of them the client's side stays open.
  const streams = [1, 2, 3].flatMap(() => {
    const transport = grpc(url);
    const never = new Promise<void>(() => undefined);
    async function* requests() {
      yield { message: { case: "heartbeat" as const, value: {} } };
      await never;
    }
    return Array.from({ length: 10 }, () => [
      createClient(LiveService, transport).watch({})[Symbol.asyncIterator](),
      createClient(WorkerService, transport).connect(requests())[Symbol.asyncIterator](),
    ]).flat();
  });
  await Promise.all(streams.map((stream) => stream.next()));
  const ends = streams.map((stream) => stream.next().then(() => "more", codeOf));
  const startedAt = performance.now();
  await Promise.all([listener.stop(), listener.stop()]);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  expect(new Set(await Promise.all(ends))).toEqual(new Set([Code.Unavailable]));
});

test("stopping does not wait for a session that never goes", async () => {
  const { url, listener } = await startWorkerListener();
  const session = rawSession(url);
  const stuck = session.request({
    ":method": "POST",
    ":path": "/signalbox.v1.WorkerService/Connect",
    "content-type": "application/grpc+proto",
    ...bearer,
  });
  stuck.on("error", () => undefined);
  await once(session, "remoteSettings");
  const closed = once(session, "close");
  await listener.stop(100);
  await closed;
});

test("windows are large in both directions", async () => {
  const { url } = await startWorkerListener();
  const session = rawSession(url);
  await once(session, "remoteSettings");
  await callRaw(session, bearer);
  expect(session.remoteSettings).toMatchObject({
    initialWindowSize: 512 * 1024,
    maxFrameSize: 256 * 1024,
    maxConcurrentStreams: 1024,
  });
  expect(session.state.remoteWindowSize).toBeGreaterThan(15 * 1024 * 1024);
});

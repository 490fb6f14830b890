import { once } from "node:events";
import { connect as connectHttp2, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
import { Code, createClient, type Interceptor } from "@connectrpc/connect";
import { LiveService, type WatchResponse } from "@signalbox/protocol";
import { expect, onTestFinished, test } from "vitest";
import { ack, endHeaders, frameType, grpcHeaders, http2Frame, RawHttp2, uint32 } from "../testing/raw-http2.ts";
import { frame, openGrpc, readGrpc } from "../testing/raw-rpc.ts";
import type { WorkerListenerOptions } from "./worker-listener.ts";
import { ask, bearer, grpc, startOperatorListener, startWorkerListener, token } from "./test-listeners.ts";

// What a client may hold open, and what it may keep waiting. The limits are made short; those of a server stand in the tables of limits
// in docs.

const connectPath = "/signalbox.v1.WorkerService/Connect";
const watchPath = "/signalbox.v1.LiveService/Watch";

function session(url: string, windowBytes = 65_535): ClientHttp2Session {
  const opened = connectHttp2(url, { settings: { initialWindowSize: windowBytes } }).on("error", () => undefined);
  onTestFinished(() => opened.destroy());
  return opened;
}

/** A call whose end is seen, and nothing else of it. */
function open(on: ClientHttp2Session, path: string): ClientHttp2Stream {
  return openGrpc(on, path, { headers: bearer }).on("error", () => undefined);
}

/** Writes pieces one after the other, each as soon as the clock says so, until the stream ends. */
async function drip(stream: ClientHttp2Stream, everyMs: number, piece: Uint8Array): Promise<void> {
  while (!stream.destroyed && !stream.closed) {
    stream.write(piece);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

function silentSocket(port: number, bytes: string): Socket {
  const socket = connect(port, "127.0.0.1").on("error", () => undefined);
  socket.resume();
  if (bytes) socket.write(bytes);
  onTestFinished(() => void socket.destroy());
  return socket;
}

test.each([
  ["stops in the middle", undefined],
  ["comes a byte now and then", 40],
])("a message that %s is cut; streams beside it go on", async (_how, every) => {
  const read: string[] = [];
  const { url, metrics } = await startWorkerListener({ streams: { stalledMessageMs: 300, lookEveryMs: 20 } });
  const same = session(url);
  const canary = open(same, connectPath);
  canary.write(frame(new Uint8Array()));
  canary.on("data", () => read.push("heartbeat"));
  const stalled = open(same, connectPath);
  stalled.resume();
  stalled.write(frame(Buffer.alloc(3), 0, 500_000));
  if (every) void drip(stalled, every, Buffer.alloc(1));
  await once(stalled, "close");
  expect(stalled.rstCode).toBe(constants.NGHTTP2_CANCEL);
  // Nothing of the canary is under way: that is no message that stalls, however long it takes.
  canary.write(frame(new Uint8Array()));
  await expect.poll(() => read.length).toBe(2);
  expect(await metrics.registry.metrics()).toContain(
    'signalbox_cuts_total{listener="worker",what="stalled message"} 1',
  );
});

test("a message that comes slowly but steadily is taken", async () => {
  const { url } = await startWorkerListener({ streams: { stalledMessageMs: 200, lookEveryMs: 20 } });
  const stream = open(session(url), connectPath);
  const answered = once(stream, "data");
  const whole = frame(unknownField(200_000));
  for (let at = 0; at < whole.length; at += 8_192) {
    stream.write(whole.subarray(at, at + 8_192));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await answered;
});

test("a call that is over ends for a client that does not end its side, too", async () => {
  const { url } = await startWorkerListener({ streams: { stalledMessageMs: 100, lookEveryMs: 20 } });
  const stream = openGrpc(session(url), connectPath, { headers: { authorization: "Bearer wrong" } });
  stream.resume();
  await once(stream, "close");
  expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
});

test("a client that takes nothing of what waits for it is cut, one that takes goes on", async () => {
  const { url, metrics, tick } = await startWorkerListener({ streams: { stalledReaderMs: 300, lookEveryMs: 20 } });
  const canary = createClient(LiveService, grpc(url)).watch({})[Symbol.asyncIterator]();
  await canary.next();
  const stalled = open(session(url, 0), watchPath);
  stalled.end(frame(new Uint8Array()));
  await once(stalled, "close");
  tick();
  expect(((await canary.next()).value as WatchResponse).message.case).toBe("heartbeat");
  expect(await metrics.registry.metrics()).toContain('signalbox_cuts_total{listener="worker",what="stalled reader"} 1');
});

test("a connection without a call is told to go, one with a quiet call stays", async () => {
  const { url, tick } = await startWorkerListener({ streams: { idleMs: 300, lookEveryMs: 20 } });
  const canary = createClient(LiveService, grpc(url)).watch({})[Symbol.asyncIterator]();
  await canary.next();
  const idle = session(url);
  const goAway = once(idle, "goaway");
  await once(idle, "close");
  expect((await goAway)[0]).toBe(constants.NGHTTP2_NO_ERROR);
  tick();
  expect(((await canary.next()).value as WatchResponse).message.case).toBe("heartbeat");
});

test("calls beyond the limit of all connections are refused as RESOURCE_EXHAUSTED, until others end", async () => {
  const { url } = await startWorkerListener({ streams: { mostStreams: 2 } });
  const held = [open(session(url), connectPath), open(session(url), connectPath)];
  for (const stream of held) {
    stream.write(frame(new Uint8Array()));
    await once(stream, "data");
  }
  const refused = await readGrpc(open(session(url), connectPath));
  expect(refused.trailers["grpc-status"]).toBe(String(Code.ResourceExhausted));
  held[0]?.close();
  const watch = () => createClient(LiveService, grpc(url)).watch({})[Symbol.asyncIterator]().next();
  await expect
    .poll(() =>
      watch().then(
        () => "served",
        () => "refused",
      ),
    )
    .toBe("served");
});

test("when all connections hold too much, the one that holds most goes", async () => {
  const { url, tick } = await startWorkerListener(
    { streams: { heldBytes: 1_000_000, lookEveryMs: 20 } },
    { plainCalls: readNothing("/unread") },
  );
  const canary = createClient(LiveService, grpc(url)).watch({})[Symbol.asyncIterator]();
  await canary.next();
  const modest = session(url);
  open(modest, "/unread").write(Buffer.alloc(100_000));
  const greedy = session(url);
  const goAway = once(greedy, "goaway");
  for (let i = 0; i < 4; i++) open(greedy, "/unread").write(Buffer.alloc(1_000_000));
  expect((await goAway)[0]).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  tick();
  expect(((await canary.next()).value as WatchResponse).message.case).toBe("heartbeat");
  expect(modest.destroyed).toBe(false);
});

test("of a stream that is not read only so much comes in", async () => {
  const { url } = await startWorkerListener({}, { plainCalls: readNothing(connectPath) });
  const raw = await RawHttp2.open(url);
  onTestFinished(() => raw.close());
  // The server's settings hold from their acknowledgement on.
  raw.send(http2Frame(frameType.settings, ack, 0));
  raw.send(http2Frame(frameType.headers, endHeaders, 1, grpcHeaders(connectPath, token)));
  // One byte more than the window is a fault of the client, and the connection's end.
  const piece = http2Frame(frameType.data, 0, 1, Buffer.alloc(16_384));
  for (let i = 0; i < 32; i++) raw.send(piece);
  raw.send(http2Frame(frameType.ping, 0, 0, Buffer.alloc(8)));
  await expect.poll(() => raw.pongs).toBe(1);
  expect(raw.resets.size).toBe(0);
  raw.send(http2Frame(frameType.data, 0, 1, Buffer.alloc(1)));
  await expect.poll(() => raw.resets.get(1) ?? raw.goAway).toBe(constants.NGHTTP2_FLOW_CONTROL_ERROR);
});

test.each([
  ["worker", ""],
  ["worker", "PRI * HT"],
  ["operator", ""],
  ["operator", "GET / HTTP/1.1\r\nhost: "],
] as const)("%s port: of connections that have said nothing but '%s' the oldest gives way", async (port, bytes) => {
  const limits = { mostSilent: 3, maxConnections: 100 };
  const { listener, url } =
    port === "worker" ? await startWorkerListener(limits) : await startOperatorListener({ limits });
  const sockets: Socket[] = [];
  for (let i = 0; i < 5; i++) {
    const socket = silentSocket(listener.port, bytes);
    await once(socket, "connect");
    sockets.push(socket);
  }
  await expect.poll(() => sockets.map(({ closed }) => closed)).toEqual([true, true, false, false, false]);
  if (port === "operator") expect((await ask(url, "/healthz")).status).toBe(200);
  else expect((await createClient(LiveService, grpc(url)).watch({})[Symbol.asyncIterator]().next()).done).toBe(false);
  // While it had not spoken it counted, and took the place of another one.
  expect(sockets.filter(({ closed }) => !closed)).toHaveLength(2);
});

test("operator port: when there are too many connections, those kept for later give way", async () => {
  const { listener, url, transport, tick } = await startOperatorListener({ limits: { maxConnections: 3 } });
  const canary = createClient(LiveService, transport).watch({})[Symbol.asyncIterator]();
  await canary.next();
  for (let i = 0; i < 2; i++) {
    const idle = connect(listener.port, "127.0.0.1").on("error", () => undefined);
    onTestFinished(() => void idle.destroy());
    idle.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    await once(idle, "readable");
  }
  await expect
    .poll(() =>
      ask(url, "/healthz").then(
        ({ status }) => status,
        () => 0,
      ),
    )
    .toBe(200);
  tick();
  expect(((await canary.next()).value as WatchResponse).message.case).toBe("heartbeat");
});

/** What comes back on a connection to the operators' port, until it ends or `length` answers are there. */
async function answers(
  port: number,
  requests: string,
  length: number,
): Promise<{ statuses: string[]; isCut: boolean }> {
  const socket = connect(port, "127.0.0.1").on("error", () => undefined);
  onTestFinished(() => void socket.destroy());
  let text = "";
  const statuses = () => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status ?? "");
  socket.on("data", (bytes: Buffer) => (text += bytes.toString("latin1")));
  socket.write(requests);
  await expect.poll(() => socket.destroyed || statuses().length >= length).toBe(true);
  return { statuses: statuses(), isCut: socket.destroyed };
}

test("operator port: requests that are written ahead are answered one after the other, in their order", async () => {
  let atOnce = 0;
  let most = 0;
  const interceptor: Interceptor = (next) => async (request) => {
    most = Math.max(most, ++atOnce);
    await new Promise((resolve) => setImmediate(resolve));
    atOnce--;
    return next(request);
  };
  const { listener } = await startOperatorListener({ interceptors: [interceptor] });
  const requests = Array.from({ length: 20 }, (_, i) => pipelined(i % 2 === 0 ? "ListJobs" : "Nothing")).join("");
  const { statuses, isCut } = await answers(listener.port, requests, 20);
  expect(statuses).toEqual(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? "200" : "404")));
  expect({ most, isCut }).toEqual({ most: 1, isCut: false });
});

test("operator port: a connection on which a thousand requests are written ahead is cut, and that is counted", async () => {
  const { listener, metrics, url } = await startOperatorListener();
  const { statuses, isCut } = await answers(listener.port, pipelined("ListJobs").repeat(1_000), 1_000);
  expect(isCut).toBe(true);
  expect(statuses.length).toBeLessThan(1_000);
  expect(await metrics.registry.metrics()).toMatch(
    /cuts_total\{listener="operator",what="too many requests ahead"\} 1/,
  );
  expect((await ask(url, "/healthz")).status).toBe(200);
});

test("operator port: what a client wrote ahead before it went away is not begun, and a stop does not wait for it", async () => {
  let begun = 0;
  const interceptor: Interceptor = (next) => async (request) => {
    begun++;
    await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
    return next(request);
  };
  const { listener, url } = await startOperatorListener({ interceptors: [interceptor] });
  const socket = connect(listener.port, "127.0.0.1").on("error", () => undefined);
  socket.write(pipelined("ListJobs").repeat(3));
  await expect.poll(() => begun).toBe(1);
  socket.destroy();
  expect((await ask(url, "/healthz")).status).toBe(200);
  await listener.stop(60_000);
  expect(begun).toBe(1);
});

function pipelined(method: string): string {
  const head = `POST /signalbox.v1.JobService/${method} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}`;
  return `${head}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`;
}

test("a connection that opens a thousand calls at once leaves turns to others", async () => {
  const { url } = await startWorkerListener();
  const canary = createClient(LiveService, grpc(url));
  const raw = await RawHttp2.open(url, Buffer.concat([Buffer.of(0, 4), uint32(1 << 20)]));
  onTestFinished(() => raw.close());
  const calls = Array.from({ length: 1_000 }, (_, i) =>
    http2Frame(frameType.headers, endHeaders, 2 * i + 1, grpcHeaders(watchPath, token)),
  );
  const bodies = calls.map((_, i) => http2Frame(frameType.data, 1, 2 * i + 1, frame(new Uint8Array())));
  raw.send(...calls, ...bodies);
  await expect.poll(() => raw.dataBytes).toBeGreaterThan(0);
  await canary.watch({})[Symbol.asyncIterator]().next();
  const whenServed = raw.dataStreams.size;
  expect(whenServed).toBeLessThan(1_000);
  await expect.poll(() => raw.dataStreams.size).toBe(1_000);
});

/** A method whose calls are not read. */
function readNothing(path: string): NonNullable<WorkerListenerOptions["plainCalls"]> {
  return (server) => {
    const general = server.listeners("stream") as ((...args: unknown[]) => void)[];
    server.removeAllListeners("stream");
    server.on("stream", (stream, headers, ...more) => {
      if (headers[":path"] === path) stream.on("error", () => undefined);
      else for (const each of general) each.call(server, stream, headers, ...more);
    });
  };
}

/** A message of a field that nobody knows. */
function unknownField(bytes: number): Buffer {
  return Buffer.concat([
    Buffer.of(0x7a, (bytes & 0x7f) | 0x80, ((bytes >> 7) & 0x7f) | 0x80, bytes >> 14),
    Buffer.alloc(bytes),
  ]);
}

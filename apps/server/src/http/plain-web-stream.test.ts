import { connect } from "node:net";
import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { LiveService } from "@signalbox/protocol";
import { expect, test, vi } from "vitest";
import { callWeb, frame, type RawRequest } from "../testing/raw-rpc.ts";
import { servePlainWebStream, type PlainWebStream, type WebPeer } from "./plain-web-stream.ts";
import { safeHeaders } from "./security-headers.ts";
import { startOperatorListener, token } from "./test-listeners.ts";

const { watch } = LiveService.method;
const path = `/${watch.parent.typeName}/${watch.name}`;
const bytes = (text: string) => Buffer.from(text);

/** A listener that serves a method past the general machinery, and how to call it. */
async function open(answer: PlainWebStream["answer"]) {
  const { listener, url } = await startOperatorListener({
    plainCalls: (calls, access) =>
      servePlainWebStream(calls, { path, answer }, access, (error, signal) =>
        ConnectError.from(signal.aborted ? signal.reason : error),
      ),
  });
  const headers = { authorization: `Bearer ${token}` };
  return { listener, url, call: (request: RawRequest) => callWeb(url, path, { ...request, headers }) };
}

test("messages go out in their frames, in their order, whatever pieces they come in, and then the status", async () => {
  const large = Buffer.alloc(300_000, "x");
  const { call } = await open(async function* (request) {
    yield [request];
    yield [bytes("a"), bytes("b")];
    yield [bytes("head"), large, bytes("tail")];
    yield [];
  });
  const { frames, trailers, headers } = await call({ body: frame(bytes("hello")) });
  expect(frames.map(({ data }) => data.toString())).toEqual(["hello", "ab", `head${large.toString()}tail`, ""]);
  expect(trailers).toMatchObject({ "grpc-status": "0" });
  expect(headers).toMatchObject({ ...safeHeaders, "x-accel-buffering": "no" });
});

test("a client that takes its time gets everything, and no more is made than it takes", async () => {
  let made = 0;
  const count = 400;
  const { url } = await open(async function* () {
    for (; made < count; made++) yield [Buffer.alloc(100_000, made % 256)];
  });
  const body = frame(bytes("x"));
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.pause();
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web+proto\r\nauthorization: Bearer ${token}\r\n` +
      `content-length: ${body.length}\r\nconnection: close\r\n\r\n`,
  );
  socket.write(body);
  // What the two sockets hold is made, and then nothing more.
  let before = -1;
  await vi.waitFor(async () => {
    const now = made;
    const stands = now > 0 && now === before;
    before = now;
    for (let i = 0; i < 50; i++) await turn();
    expect(stands && made === now).toBe(true);
  });
  expect(made).toBeLessThan(count);
  let got = 0;
  socket.on("data", (data) => (got += data.length));
  socket.resume();
  await once(socket, "close");
  expect(made).toBe(count);
  expect(got).toBeGreaterThan(count * 100_000);
});

test("a client that goes ends the handler's signal, also while a message waits for room", async () => {
  const ended = vi.fn();
  const peers: WebPeer[] = [];
  const { url } = await open(async function* (_request, peer) {
    peers.push(peer);
    try {
      for (;;) yield [Buffer.alloc(100_000)];
    } finally {
      ended();
    }
  });
  const body = frame(bytes("x"));
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web+proto\r\nauthorization: Bearer ${token}\r\n` +
      `content-length: ${body.length}\r\n\r\n`,
  );
  socket.write(body);
  await once(socket, "data");
  socket.pause();
  socket.destroy();
  await vi.waitFor(() => expect(ended).toHaveBeenCalledTimes(1));
  expect(peers[0]?.signal.aborted).toBe(true);
});

test("a handler that fails, and one that ends because the server stops, tell why", async () => {
  let begun = 0;
  const { call, listener } = await open(async function* (request, { signal }) {
    begun++;
    yield [bytes("first")];
    if (request.toString() === "fail") throw new ConnectError("it broke", Code.DataLoss);
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  });
  const failed = await call({ body: frame(bytes("fail")) });
  expect(failed.frames.map(({ data }) => data.toString())).toEqual(["first"]);
  expect(failed.trailers).toMatchObject({ "grpc-status": String(Code.DataLoss), "grpc-message": "it%20broke" });
  const stays = call({ body: frame(bytes("stay")) });
  await vi.waitFor(() => expect(begun).toBe(2));
  await listener.stop();
  expect((await stays).trailers).toMatchObject({ "grpc-status": String(Code.Unavailable) });
});

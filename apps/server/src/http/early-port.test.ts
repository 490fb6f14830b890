import { once } from "node:events";
import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { CannotListen } from "./bind.ts";
import { EarlyPort } from "./early-port.ts";

async function taken(): Promise<{ early: EarlyPort; port: number }> {
  const early = await EarlyPort.take({ host: "127.0.0.1", port: 0 }, "PORT");
  onTestFinished(() => early.close());
  return { early, port: early.port };
}

function client(port: number) {
  const socket = connect(port, "127.0.0.1").on("error", () => undefined);
  onTestFinished(() => void socket.destroy());
  return socket;
}

test("who connects before the server is there is served with what it said when it is", async () => {
  const { early, port } = await taken();
  const first = client(port);
  first.write("hello");
  await once(first, "connect");
  const said: string[] = [];
  const servers = early.serve((socket) => socket.on("data", (bytes) => said.push(bytes.toString())));
  onTestFinished(() => servers.forEach((server) => server.close()));
  await expect.poll(() => said).toEqual(["hello"]);
  client(port).write("later");
  await expect.poll(() => said).toEqual(["hello", "later"]);
});

test("who has gone before the server is there is not handed over", async () => {
  const { early, port } = await taken();
  const gone = client(port);
  await once(gone, "connect");
  gone.resetAndDestroy();
  const stays = client(port);
  await once(stays, "connect");
  const served: unknown[] = [];
  await expect.poll(() => early.waiting).toBe(1);
  early.serve((socket) => served.push(socket.destroy()));
  expect(served).toHaveLength(1);
});

test("a port that another program has is told when it is needed, and not before", async () => {
  const { port } = await taken();
  const second = await EarlyPort.take({ host: "127.0.0.1", port }, "PORT");
  expect(() => second.serve(() => undefined)).toThrow(CannotListen);
});

test("a server that cannot start lets go of its port and of who waits", async () => {
  const { early, port } = await taken();
  const waits = client(port).resume();
  await once(waits, "connect");
  early.close();
  await once(waits, "close");
  const other = await EarlyPort.take({ host: "127.0.0.1", port }, "PORT");
  onTestFinished(() => other.close());
  expect(other.port).toBe(port);
});

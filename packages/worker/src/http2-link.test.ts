import { once } from "node:events";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { connect, createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Http2Link, type Http2LinkOptions } from "./http2-link.ts";

let server: Http2Server;
let proxy: Server;
let isCut: boolean;
const sockets = new Set<Socket>();
const links: Http2Link[] = [];

/** An HTTP/2 server behind a proxy that passes nothing on any more, either way, once it is cut: nobody closes anything. */
beforeEach(async () => {
  isCut = false;
  server = createServer();
  server.on("session", (session) => session.on("error", () => undefined));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  proxy = createTcpServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on("error", () => undefined);
      from.on("data", (bytes) => void (isCut || to.write(bytes)));
    }
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
});

afterEach(async () => {
  for (const link of links.splice(0)) link.abort();
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await Promise.all([proxy, server].map((each) => new Promise((resolve) => each.close(resolve))));
});

async function open(options: Partial<Http2LinkOptions> = {}): Promise<Http2Link> {
  const socket = connect((proxy.address() as AddressInfo).port, "127.0.0.1");
  await once(socket, "connect");
  const link = new Http2Link({ socket, url: "http://room.example:9090/behind" }, { windowBytes: 65_536, ...options });
  links.push(link);
  return link;
}

const quick = { pingAfterMs: 200, deadAfterMs: 400, lookEveryMs: 50 };

describe("a link", () => {
  test("names the server by its name, whatever its address is", async () => {
    const asked = once(server, "stream") as Promise<[ServerHttp2Stream, Record<string, string>]>;
    const link = await open();
    const stream = await link.request("POST", "/call", { "content-type": "application/grpc" }, {});
    const [theirs, headers] = await asked;
    expect(headers).toMatchObject({ ":authority": "room.example:9090", ":path": "/call" });
    expect(link.authority).toBe("http://room.example:9090");
    theirs.close();
    stream.close();
  });

  test("on which nothing comes any more is found, and its calls fail, although nobody has closed it", async () => {
    const reasons: string[] = [];
    const link = await open({ ...quick, onDead: (reason) => reasons.push(reason) });
    const call = await link.request("POST", "/call", {}, {});
    const ended = once(call, "close");
    call.on("error", () => undefined);
    isCut = true;
    const begin = performance.now();
    await ended;
    expect(performance.now() - begin).toBeGreaterThan(300);
    expect(reasons).toEqual([expect.stringContaining("no answer to a ping")]);
    expect(link.isOpen).toBe(false);
    await expect(link.request("POST", "/call", {}, {})).rejects.toThrow("the connection has ended");
  });

  test("on which nobody has anything to say stays, as long as pings are answered", async () => {
    let pings = 0;
    server.on("session", (session) => session.on("ping", () => pings++));
    const reasons: string[] = [];
    const link = await open({ ...quick, onDead: (reason) => reasons.push(reason) });
    await expect.poll(() => pings).toBeGreaterThan(3);
    expect([link.isOpen, reasons]).toEqual([true, []]);
  });

  test("is not taken for dead because this process stood still", async () => {
    const reasons: string[] = [];
    const link = await open({ ...quick, onDead: (reason) => reasons.push(reason) });
    let pings = 0;
    server.on("session", (session) => session.on("ping", () => pings++));
    const until = performance.now() + 1500;
    while (performance.now() < until);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([link.isOpen, reasons]).toEqual([true, []]);
  });
});

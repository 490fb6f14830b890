import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { DialFailed, Dialer, type DialOptions } from "./dial.ts";

const servers: Server[] = [];
const sockets = new Set<Socket>();
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

/** Listens on an address of this machine. */
async function listen(host: string, port = 0, server: Server = createServer()): Promise<number> {
  server.on("connection", (socket: Socket) => sockets.add(socket.on("error", () => undefined)));
  server.listen(port, host);
  await once(server, "listening");
  servers.push(server);
  return (server.address() as AddressInfo).port;
}

/** A port on which nobody listens. */
async function freePort(): Promise<number> {
  const port = await listen("127.0.0.1");
  const server = servers.pop();
  await new Promise((resolve) => server?.close(resolve));
  return port;
}

const never = new AbortController().signal;

async function dial(dialer: Dialer, signal = never) {
  const dialed = await dialer.dial(signal);
  sockets.add(dialed.socket);
  return dialed;
}

const answers = (...ips: string[]): DialOptions => ({ resolve: () => Promise.resolve(ips) });

describe("a server with several addresses", () => {
  test("is found behind whichever of a name's addresses answers, of either family", async () => {
    const port = await listen("127.0.0.3");
    const name = answers("127.0.0.1", "::1", "127.0.0.2", "127.0.0.3");
    for (let i = 0; i < 5; i++) {
      const { url, address, socket } = await dial(new Dialer([`http://room.example:${port}`], name));
      expect([url, address]).toEqual([`http://room.example:${port}`, `room.example:${port} (127.0.0.3)`]);
      expect(socket.remoteAddress).toBe("127.0.0.3");
    }
  });

  test("is found behind whichever of several addresses answers", async () => {
    const port = await listen("127.0.0.1");
    const urls = [`http://127.0.0.1:${await freePort()}`, `http://localhost:${port}`, "http://nowhere.invalid:9090"];
    expect((await dial(new Dialer(urls))).url).toBe(`http://localhost:${port}`);
  });

  test("is asked for anew each time, since names move", async () => {
    const port = await listen("127.0.0.1");
    await listen("127.0.0.2", port);
    let ip = "127.0.0.1";
    const dialer = new Dialer([`http://room.example:${port}`], { resolve: () => Promise.resolve([ip]) });
    expect((await dial(dialer)).ip).toBe("127.0.0.1");
    ip = "127.0.0.2";
    expect((await dial(dialer)).ip).toBe("127.0.0.2");
  });

  test("is spread evenly over its workers", async () => {
    const port = await listen("127.0.0.1");
    await listen("127.0.0.2", port);
    const counts: Record<string, number> = {};
    for (let i = 0; i < 60; i++) {
      const { ip, socket } = await dial(new Dialer([`http://room.example:${port}`], answers("127.0.0.1", "127.0.0.2")));
      counts[ip] = (counts[ip] ?? 0) + 1;
      socket.destroy();
    }
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(10);
  });

  test("is tried elsewhere when no link could be made over an address that took the connection", async () => {
    const port = await listen("127.0.0.1");
    await listen("127.0.0.2", port);
    const dialer = new Dialer([`http://room.example:${port}`], answers("127.0.0.1", "127.0.0.2"));
    for (let i = 0; i < 10; i++) {
      const first = await dial(dialer);
      dialer.failed(first);
      const second = await dial(dialer);
      expect(second.ip).not.toBe(first.ip);
    }
  });

  test("is not waited for where it does not answer: the next address is tried beside it", async () => {
    const silent = await listen("127.0.0.1");
    const port = await listen("127.0.0.1");
    // A TLS handshake that nobody answers hangs as a packet filter does.
    const urls = [`https://127.0.0.1:${silent}`, `http://127.0.0.1:${port}`];
    for (const random of [0, 0.99]) {
      const begin = performance.now();
      expect((await dial(new Dialer(urls, { random: () => random }))).url).toBe(urls[1]);
      expect(performance.now() - begin).toBeLessThan(2500);
    }
    await expect(new Dialer(urls.slice(0, 1), { connectWithinMs: 200 }).dial(never)).rejects.toThrow(
      `127.0.0.1:${silent} does not answer within 0.2 s`,
    );
  });
});

describe("a server that cannot be reached", () => {
  test("is told with the reason for each address", async () => {
    const port = await freePort();
    const urls = [`http://127.0.0.1:${port}`, "http://nowhere.invalid:9090"];
    const failure = await new Dialer(urls).dial(never).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DialFailed);
    expect((failure as Error).message).toContain(`127.0.0.1:${port} refuses the connection`);
    expect((failure as Error).message).toMatch(/nowhere\.invalid (is no known name|cannot be looked up at present)/);
  });

  test("is given up when the worker closes", async () => {
    const silent = await listen("127.0.0.1");
    const closing = new AbortController();
    const dialing = new Dialer([`https://127.0.0.1:${silent}`]).dial(closing.signal);
    closing.abort(new Error("closing"));
    await expect(dialing).rejects.toThrow("closing");
    const hangs = new Dialer(["http://room.example:1"], { resolve: () => new Promise<string[]>(() => undefined) });
    await expect(hangs.dial(AbortSignal.timeout(50))).rejects.toThrow();
  });

  test("is not taken for one if it speaks something else over TLS", async () => {
    const names: string[] = [];
    const server = createTlsServer({
      SNICallback: (name, done) => {
        names.push(name);
        done(new Error("no such name"));
      },
    });
    const port = await listen("127.0.0.1", 0, server);
    server.on("tlsClientError", () => undefined);
    await expect(new Dialer([`https://room.example:${port}`], answers("127.0.0.1")).dial(never)).rejects.toThrow(
      DialFailed,
    );
    // Whatever its address is, TLS is asked for the name.
    expect(names).toEqual(["room.example"]);
  });
});

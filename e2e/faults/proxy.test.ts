import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { FaultProxy } from "./proxy.ts";

/** What one end of a connection has heard. */
interface End {
  readonly socket: Socket;
  readonly heard: () => string;
  /** `end`, or the code of an error; undefined while it is open. */
  readonly over: () => string | undefined;
}

function endOf(socket: Socket): End {
  let heard = "";
  let over: string | undefined;
  socket.on("data", (bytes) => (heard += bytes.toString("latin1")));
  socket.on("end", () => (over ??= "end"));
  socket.on("error", (error: NodeJS.ErrnoException) => (over = error.code));
  onTestFinished(() => void socket.destroy());
  return { socket, heard: () => heard, over: () => over };
}

/** A server that talks when told to, and a proxy in front of it. */
async function open() {
  const accepted: End[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => accepted.push(endOf(socket))).listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy = await FaultProxy.open((server.address() as AddressInfo).port);
  onTestFinished(() => {
    proxy.close();
    server.close();
  });
  return {
    proxy,
    accepted,
    /** Connects through the proxy; resolves when the server has the connection. */
    link: async (): Promise<{ client: End; server: End }> => {
      const before = accepted.length;
      const client = endOf(connect(proxy.port, "127.0.0.1"));
      await vi.waitFor(() => expect(accepted.length).toBe(before + 1));
      const far = accepted[before];
      if (!far) throw new Error("no connection");
      return { client, server: far };
    },
  };
}

/** Long enough that what passes would have passed. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 150));

describe("the proxy", () => {
  test("passes bytes both ways, half-closes and ends", async () => {
    const { link } = await open();
    const { client, server } = await link();
    client.socket.end("question");
    await vi.waitFor(() => expect([server.heard(), server.over()]).toEqual(["question", "end"]));
    server.socket.end("answer");
    await vi.waitFor(() => expect([client.heard(), client.over()]).toEqual(["answer", "end"]));
  });

  test("passes on that one side was killed", async () => {
    const { link } = await open();
    const { client, server } = await link();
    server.socket.resetAndDestroy();
    await vi.waitFor(() => expect(client.over()).toBe("ECONNRESET"));
  });

  test("carries many bytes unchanged while its behaviour changes, and holds few of them", async () => {
    const { proxy, link } = await open();
    const { client, server } = await link();
    const sent = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 7919) % 251));
    await proxy.set({ mode: "stall" });
    client.socket.write(sent);
    await aWhile();
    expect(server.heard()).toBe("");
    for (const behaviour of [{ mode: "delay", ms: 20 }, { mode: "stall" }, { mode: "pass" }] as const) {
      await proxy.set(behaviour);
      await aWhile();
    }
    await vi.waitFor(() => expect(server.heard().length).toBe(sent.length));
    expect(Buffer.from(server.heard(), "latin1").equals(sent)).toBe(true);
  });

  test("delays each byte by the time that was asked", async () => {
    const { proxy, link } = await open();
    const { client, server } = await link();
    await proxy.set({ mode: "delay", ms: 300 });
    const startedAt = performance.now();
    client.socket.write("late");
    await vi.waitFor(() => expect(server.heard()).toBe("late"));
    expect(performance.now() - startedAt).toBeGreaterThan(290);
  });

  test("lets through no more than the throttle allows", async () => {
    const { proxy, link } = await open();
    const { client, server } = await link();
    await proxy.set({ mode: "throttle", bytesPerSecond: 20_000 });
    const startedAt = performance.now();
    server.socket.write(Buffer.alloc(10_000, "x"));
    await vi.waitFor(() => expect(client.heard().length).toBe(10_000), { timeout: 10_000 });
    expect(performance.now() - startedAt).toBeGreaterThan(400);
  });

  test("loses one direction alone, and lets it go on afterwards", async () => {
    const { proxy, link } = await open();
    const { client, server } = await link();
    await proxy.set({ mode: "one-way", lost: "to-client" });
    client.socket.write("data");
    server.socket.write("ack");
    await vi.waitFor(() => expect(server.heard()).toBe("data"));
    await aWhile();
    expect(client.heard()).toBe("");
    await proxy.set({ mode: "pass" });
    await vi.waitFor(() => expect(client.heard()).toBe("ack"));
  });

  test("leaves both sides of a half-open connection without a word, for good, and new ones pass afterwards", async () => {
    const { proxy, link } = await open();
    const dead = await link();
    await proxy.set({ mode: "half-open" });
    dead.client.socket.end("question");
    await proxy.set({ mode: "pass" });
    const alive = await link();
    alive.client.socket.write("hello");
    await vi.waitFor(() => expect(alive.server.heard()).toBe("hello"));
    await aWhile();
    expect([dead.server.heard(), dead.server.over()]).toEqual(["", undefined]);
    dead.client.socket.destroy();
    await aWhile();
    expect(dead.server.over()).toBeUndefined();
  });

  test("cuts in the middle of what is sent, after exactly so many bytes", async () => {
    const { proxy, link } = await open();
    const { client, server } = await link();
    await proxy.set({ mode: "cut", afterBytes: 5 });
    client.socket.write("hello world");
    await vi.waitFor(() => expect(client.over()).toBe("ECONNRESET"));
    await vi.waitFor(() => expect(server.over()).toBe("ECONNRESET"));
    // What was under way may be lost by a reset, and nothing beyond the cut arrives.
    expect("hello".startsWith(server.heard())).toBe(true);
  });

  test("refuses new connections while the old ones go on, then accepts again at the same port", async () => {
    const { proxy, link } = await open();
    const { client, server } = await link();
    await proxy.set({ mode: "refuse" });
    const refused = endOf(connect(proxy.port, "127.0.0.1"));
    await vi.waitFor(() => expect(refused.over()).toBe("ECONNREFUSED"));
    client.socket.write("still");
    await vi.waitFor(() => expect(server.heard()).toBe("still"));
    await proxy.set({ mode: "pass" });
    await link();
  });

  test("accepts and resets", async () => {
    const { proxy, link } = await open();
    const { client } = await link();
    await proxy.set({ mode: "reset" });
    await vi.waitFor(() => expect(client.over()).toBe("ECONNRESET"));
    const next = endOf(connect(proxy.port, "127.0.0.1"));
    await vi.waitFor(() => expect(next.over()).toMatch(/ECONNRESET|end/));
  });
});

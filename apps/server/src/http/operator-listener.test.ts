import { connect } from "node:net";
import { once } from "node:events";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { JobService, LiveService, type WatchResponse } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { ask, bearer, builtDashboard, grpcWeb, startOperatorListener } from "./test-listeners.ts";
import { contentSecurityPolicy } from "./security-headers.ts";

const codeOf = (error: unknown) => ConnectError.from(error).code;
const rpcPath = "/signalbox.v1.JobService/ListJobs";

test("an RPC without, or with a wrong, token is refused as UNAUTHENTICATED, and told which it is", async () => {
  const { url } = await startOperatorListener();
  const call = async (headers: Record<string, string>) => {
    const refused = ConnectError.from(
      await createClient(JobService, grpcWeb(url, headers))
        .listJobs({})
        .catch((error: unknown) => error),
    );
    expect(refused.code).toBe(Code.Unauthenticated);
    return refused.rawMessage;
  };
  expect(await call({})).toContain("Sign in, or send the token");
  for (const authorization of ["Bearer wrong", `Basic ${bearer.authorization}`])
    expect(await call({ authorization })).toContain("This token is not the server's");
});

test("an export of the audit with a condition that there is not is refused: it would hold everything", async () => {
  const { url } = await startOperatorListener();
  const answer = await ask(url, "/audit.ndjson?acter=ana&text=x", { headers: bearer });
  expect([answer.status, answer.body]).toEqual([400, expect.stringContaining("makes no sense: acter.")]);
  expect((await ask(url, "/audit.ndjson?actor=ana&text=x&refused=no", { headers: bearer })).status).toBe(200);
});

test("a token in the URL is no token", async () => {
  const { url } = await startOperatorListener();
  const answer = await ask(url, `/metrics?token=${bearer.authorization.slice(7)}`);
  expect(answer.status).toBe(401);
});

test("an RPC with the token is answered, on 127.0.0.1 and on ::1", async () => {
  const { listener } = await startOperatorListener();
  for (const host of ["127.0.0.1", "localhost", "[::1]"]) {
    const client = createClient(JobService, grpcWeb(`http://${host}:${listener.port}`));
    expect((await client.listJobs({ pageToken: host })).nextPageToken).toBe(host);
  }
});

test("JSON works for unary calls of the Connect protocol, so that curl does", async () => {
  const { url } = await startOperatorListener();
  const answer = await ask(url, rpcPath, {
    method: "POST",
    headers: { ...bearer, "content-type": "application/json" },
    body: '{"pageToken":"here"}',
  });
  expect(answer.status).toBe(200);
  expect(JSON.parse(answer.body)).toEqual({ nextPageToken: "here" });
});

test.each([
  ["POST", rpcPath, "text/plain"],
  ["POST", rpcPath, "application/x-www-form-urlencoded"],
  ["POST", rpcPath, "application/grpc-web+json"],
  ["POST", rpcPath, "application/grpc-web-text"],
  ["POST", rpcPath, "application/grpc"],
  ["POST", rpcPath, ""],
  ["POST", "/signalbox.v1.LiveService/Watch", "application/grpc-web+json"],
  ["POST", "/signalbox.v1.LiveService/Watch", "application/connect+json"],
])("%s %s with content type '%s' is refused as 415", async (method, path, type) => {
  const { url } = await startOperatorListener();
  const headers = type ? { ...bearer, "content-type": type } : bearer;
  expect((await ask(url, path, { method, headers, body: "x" })).status).toBe(415);
});

test.each([
  ["application/grpc-web+proto; charset=utf-8"],
  ["application/grpc-web;charset=UTF-8"],
  ["Application/gRPC-Web+proto ; q=1"],
])("an RPC with content type '%s' is answered: parameters mean nothing there", async (type) => {
  const { url } = await startOperatorListener();
  const call = (headers: Record<string, string>) =>
    ask(url, rpcPath, { method: "POST", headers: { ...headers, "content-type": type }, body: "\0\0\0\0\0" });
  const answer = await call(bearer);
  expect([answer.status, answer.headers["content-type"]]).toEqual([200, "application/grpc-web+proto"]);
  expect(answer.body).toContain("grpc-status: 0");
  const elsewhere = await call({ ...bearer, host: "evil.example" });
  expect([elsewhere.status, elsewhere.headers["grpc-status"]]).toEqual([200, String(Code.PermissionDenied)]);
});

test("an RPC by GET is refused", async () => {
  const { url } = await startOperatorListener();
  const answer = await ask(url, `${rpcPath}?encoding=json&message=%7B%7D&connect=v1`, { headers: bearer });
  expect(answer.status).toBe(405);
});

test.each([
  ["evil.example", 421],
  ["evil.example:8080", 421],
  ["localhost.evil.example", 421],
  ["127.0.0.1.evil.example", 421],
  ["localhost@evil.example", 421],
  ["localhost:8080", 200],
  ["LOCALHOST", 200],
  ["[::1]:8080", 200],
  ["box.example:443", 200],
])("Host '%s' is answered with %i", async (host, status) => {
  const { url } = await startOperatorListener({ webFolder: await builtDashboard() });
  expect((await ask(url, "/", { headers: { host } })).status).toBe(status);
  expect((await ask(url, "/metrics", { headers: { ...bearer, host } })).status).toBe(status);
});

test("an address in the request line does not get around the Host check", async () => {
  const { url } = await startOperatorListener({ webFolder: await builtDashboard() });
  expect((await ask(url, "http://localhost/", { headers: { host: "evil.example" } })).status).not.toBe(200);
});

test.each([
  [{ "sec-fetch-site": "cross-site" }],
  [{ "sec-fetch-site": "same-site" }],
  [{ origin: "http://localhost:3000" }],
  [{ origin: "https://evil.example" }],
  [{ origin: "null" }],
  [{ "sec-fetch-site": "same-origin", origin: "https://evil.example" }],
])("requests with %o are refused as 403, whatever they carry", async (headers) => {
  const { url } = await startOperatorListener();
  const json = { ...bearer, ...headers, "content-type": "application/json" };
  expect((await ask(url, rpcPath, { method: "POST", headers: json, body: "{}" })).status).toBe(403);
  expect((await ask(url, "/auth/session", { method: "POST", headers: json, body: '{"code":"x"}' })).status).toBe(403);
  expect((await ask(url, "/auth/session", { method: "DELETE", headers: { ...bearer, ...headers } })).status).toBe(403);
  expect((await ask(url, "/metrics", { headers: { ...bearer, ...headers } })).status).toBe(403);
  expect((await ask(url, "/jobs/a/attempts/1/log", { headers: { ...bearer, ...headers } })).status).toBe(403);
});

test("requests of the own page pass", async () => {
  const { url } = await startOperatorListener();
  const headers = { ...bearer, "sec-fetch-site": "same-origin", origin: url, "content-type": "application/json" };
  expect((await ask(url, rpcPath, { method: "POST", headers, body: "{}" })).status).toBe(200);
});

test("no answer allows another site to read it", async () => {
  const { url } = await startOperatorListener();
  const headers = { origin: "https://evil.example", "access-control-request-method": "POST" };
  const answer = await ask(url, rpcPath, { method: "OPTIONS", headers });
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(Object.keys(answer.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
});

test("every answer carries the security headers", async () => {
  const { url } = await startOperatorListener({ webFolder: await builtDashboard() });
  const answers = await Promise.all([
    ask(url, "/"),
    ask(url, "/nothing"),
    ask(url, "/healthz"),
    ask(url, "/", { headers: { host: "evil.example" } }),
    ask(url, rpcPath, { method: "POST", headers: { ...bearer, "content-type": "application/json" }, body: "{}" }),
    ask(url, "/metrics"),
  ]);
  for (const { headers } of answers) {
    expect(headers).toMatchObject({
      "content-security-policy": contentSecurityPolicy,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
      "cache-control": "no-store",
    });
  }
  expect(contentSecurityPolicy).not.toMatch(/unsafe|\*/);
});

test("pages get index.html, files with a hash are kept for ever, other paths are not found", async () => {
  const { url } = await startOperatorListener({ webFolder: await builtDashboard() });
  for (const path of [
    "/",
    "/jobs",
    "/jobs/abc",
    "/jobs/abc?line=3",
    "/jobs/",
    "/jobs/abc/",
    "/jobs/a%2Fb",
    "/workers",
    "/workers/",
    "/audit",
    "/audit/",
    "/workers?worker=a",
  ]) {
    const answer = await ask(url, path);
    expect(answer.status).toBe(200);
    expect(answer.body).toContain("<title>Signalbox</title>");
    expect(answer.headers["cache-control"]).toBe("no-store");
  }
  const asset = await ask(url, "/assets/index-a1b2c3.js");
  expect(asset.headers["cache-control"]).toBe("public, max-age=31536000, immutable");
  expect(asset.headers["content-type"]).toContain("javascript");
  expect((await ask(url, "/favicon.svg")).headers["cache-control"]).toBe("no-cache");
  for (const path of ["/nothing", "/assets/gone.js", "/jobsx", "/jobs/a/b", "/jobs/abc/attempts/2", "/workers/a"]) {
    expect((await ask(url, path)).status).toBe(404);
  }
});

test.each([
  "/../secret.txt",
  "/%2e%2e/secret.txt",
  "/assets/..%2f..%2fsecret.txt",
  "/..%5csecret.txt",
  "/%00",
  "//etc/passwd",
])("the path %s leads out of the dashboard's folder and is refused", async (path) => {
  const { url } = await startOperatorListener({ webFolder: await builtDashboard() });
  const answer = await ask(url, path);
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.body).not.toContain("not for you");
});

test("at an address where there is nothing a browser gets a page that says so, and a program gets JSON", async () => {
  const { url } = await startOperatorListener({ webFolder: await builtDashboard() });
  for (const path of ["/nonsense", "/jobs/%E0%A4%A", "/jobs/a/b", "/assets/gone.js"]) {
    const page = await ask(url, path, { headers: { accept: "text/html,application/xhtml+xml,*/*;q=0.8" } });
    expect([page.status, page.headers["content-type"], page.body]).toEqual([
      ...[404, "text/html; charset=utf-8", "<!doctype html><title>Signalbox</title>"],
    ]);
    expect(page.headers["content-security-policy"]).toBe(contentSecurityPolicy);
    expect(page.headers["cache-control"]).toBe("no-store");
    const other = await ask(url, path, { headers: { accept: "*/*" } });
    expect([other.status, JSON.parse(other.body)]).toEqual([404, { error: "There is nothing at this address." }]);
  }
  const elsewhere = await ask(url, "/nonsense", { headers: { accept: "text/html", host: "evil.example" } });
  expect(elsewhere.body).not.toContain("<title>");
});

test("without a built dashboard the page says what to do", async () => {
  const { url } = await startOperatorListener();
  const answer = await ask(url, "/");
  expect(answer.status).toBe(503);
  expect(answer.body).toContain("npm start");
});

test("health answers to any host name; readiness says why it is off", async () => {
  let reason: string | undefined = undefined;
  const { url } = await startOperatorListener({ notReady: () => reason });
  expect((await ask(url, "/healthz", { headers: { host: "10.0.0.7" } })).status).toBe(200);
  expect(await ask(url, "/readyz")).toMatchObject({ status: 200, body: '{"ready":true}' });
  reason = "draining";
  expect(await ask(url, "/readyz")).toMatchObject({ status: 503, body: '{"ready":false,"reason":"draining"}' });
  expect((await ask(url, "/healthz")).status).toBe(200);
});

test("metrics need a login and count refusals", async () => {
  const { url } = await startOperatorListener();
  expect((await ask(url, "/metrics")).status).toBe(401);
  await ask(url, "/", { headers: { host: "evil.example" } });
  const answer = await ask(url, "/metrics", { headers: bearer });
  expect(answer.status).toBe(200);
  expect(answer.headers["content-type"]).toContain("text/plain");
  expect(answer.body).toContain('signalbox_refused_requests_total{listener="operator",reason="host"} 1');
  expect(answer.body).toContain("nodejs_eventloop_lag_seconds");
});

test("a message over the limit is refused as RESOURCE_EXHAUSTED, and a stream beside it goes on", async () => {
  const { transport, tick } = await startOperatorListener();
  const canary = createClient(LiveService, transport).watch({})[Symbol.asyncIterator]();
  expect(((await canary.next()).value as WatchResponse).message.case).toBe("hello");
  const jobs = createClient(JobService, transport);
  const tooLarge = jobs.listJobs({ pageToken: "x".repeat(1024 * 1024 + 1) });
  await expect(tooLarge.catch(codeOf)).resolves.toBe(Code.ResourceExhausted);
  tick();
  expect(((await canary.next()).value as WatchResponse).message.case).toBe("heartbeat");
});

test("stopping ends open streams with UNAVAILABLE within a second, and can be asked for twice", async () => {
  const { listener, transport } = await startOperatorListener();
  const client = createClient(LiveService, transport);
  const streams = Array.from({ length: 20 }, () => client.watch({})[Symbol.asyncIterator]());
  await Promise.all(streams.map((stream) => stream.next()));
  const ends = streams.map((stream) => stream.next().catch(codeOf));
  const startedAt = performance.now();
  await Promise.all([listener.stop(), listener.stop()]);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  expect(await Promise.all(ends)).toEqual(ends.map(() => Code.Unavailable));
});

test("stopping does not wait for connections that are idle or never send anything", async () => {
  const { listener, url } = await startOperatorListener();
  const socket = connect(listener.port, "127.0.0.1");
  await once(socket, "connect");
  expect((await ask(url, "/healthz")).status).toBe(200);
  const closed = once(socket, "close");
  await listener.stop();
  await closed;
});

test.each([
  ["sends nothing", ""],
  ["sends half its headers", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: "],
  [
    "never sends its body",
    `POST ${rpcPath} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: ${bearer.authorization}\r\ncontent-length: 100\r\n\r\n{`,
  ],
])("a connection that %s is cut", async (_what, bytes) => {
  const { listener } = await startOperatorListener({ limits: { headersTimeoutMs: 200, requestTimeoutMs: 300 } });
  const socket = connect(listener.port, "127.0.0.1");
  socket.resume();
  socket.on("error", () => undefined);
  if (bytes) socket.write(bytes);
  await once(socket, "close");
});

test("a live stream is older than the time that a request may take, and goes on", async () => {
  const { listener, transport, tick } = await startOperatorListener({
    limits: { headersTimeoutMs: 100, requestTimeoutMs: 150 },
  });
  const stream = createClient(LiveService, transport).watch({})[Symbol.asyncIterator]();
  await stream.next();
  // A connection that is cut for slowness shows that the time has passed.
  const slow = connect(listener.port, "127.0.0.1").on("error", () => undefined);
  slow.write("POST ");
  slow.resume();
  await once(slow, "close");
  tick();
  expect(((await stream.next()).value as WatchResponse).message.case).toBe("heartbeat");
});

test("a reader that stopped reading is cut, and its handler hears of it", async () => {
  let aborted!: () => void;
  const heard = new Promise<void>((resolve) => (aborted = resolve));
  const { listener } = await startOperatorListener({
    limits: { stallTimeoutMs: 300 },
    async *readLog(_job: string, _attempt: number, signal: AbortSignal) {
      signal.addEventListener("abort", aborted);
      for (;;) yield new Uint8Array(64 * 1024);
    },
  });
  const socket = connect(listener.port, "127.0.0.1").on("error", () => undefined);
  socket.write(
    `GET /jobs/a/attempts/1/log HTTP/1.1\r\nhost: localhost\r\nauthorization: ${bearer.authorization}\r\n\r\n`,
  );
  await once(socket, "readable");
  await heard;
  socket.destroy();
});

test("connections beyond the limit are dropped, and there is room again when one leaves", async () => {
  const { listener, url } = await startOperatorListener({ limits: { maxConnections: 1 } });
  const first = connect(listener.port, "127.0.0.1");
  first.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
  await once(first, "readable");
  await expect(ask(url, "/healthz")).rejects.toThrow();
  first.destroy();
  await expect
    .poll(() =>
      ask(url, "/healthz").then(
        ({ status }) => status,
        () => 0,
      ),
    )
    .toBe(200);
});

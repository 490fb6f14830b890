import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import type { ConnectResponseSchema, WatchResponseSchema } from "@signalbox/protocol";
import { JobService, LiveService, WorkerService } from "@signalbox/protocol";
import { onTestFinished } from "vitest";
import { authenticateMachines, authenticateOperators } from "../auth/authenticate.ts";
import { createLoginCodes } from "../auth/login-codes.ts";
import { createSessionCookie } from "../auth/session-cookie.ts";
import { createLogger } from "../logger.ts";
import { createMetrics } from "./metrics.ts";
import { createOperatorListener, type OperatorListenerOptions } from "./operator-listener.ts";
import { createWorkerListener, type WorkerLimits, type WorkerListenerOptions } from "./worker-listener.ts";

/** Token of the listeners in these tests. */
export const token = "t".repeat(43);
export const bearer = { authorization: `Bearer ${token}` };

const silent = createLogger({ level: "silent", readable: false });

/**
 * Services for tests of the listeners: Watch says hello and then a heartbeat whenever `tick` is called, until its signal aborts;
 * ListJobs echoes its page token; Connect answers each message with a heartbeat.
 */
export function testRoutes() {
  const ticks = new Set<() => void>();
  const routes = (router: ConnectRouter) => {
    router.service(LiveService, {
      async *watch(_request, { signal }): AsyncGenerator<MessageInitShape<typeof WatchResponseSchema>> {
        yield { message: { case: "hello", value: { storeId: "test" } } };
        for (;;) {
          await new Promise<void>((resolve, reject) => {
            const stop = () => reject(signal.reason as Error);
            if (signal.aborted) stop();
            signal.addEventListener("abort", stop, { once: true });
            ticks.add(() => {
              signal.removeEventListener("abort", stop);
              resolve();
            });
          });
          yield { message: { case: "heartbeat", value: {} } };
        }
      },
    });
    router.service(JobService, { listJobs: (request) => ({ nextPageToken: request.pageToken }) });
    router.service(WorkerService, {
      async *connect(requests, { signal }): AsyncGenerator<MessageInitShape<typeof ConnectResponseSchema>> {
        const stopped = new Promise<never>((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
        });
        const incoming = requests[Symbol.asyncIterator]();
        while (!(await Promise.race([incoming.next(), stopped])).done) {
          yield { message: { case: "heartbeat", value: {} } };
        }
      },
    });
  };
  const tick = () => {
    const waiting = [...ticks];
    ticks.clear();
    for (const wake of waiting) wake();
  };
  return { routes, tick };
}

/** A folder that is removed after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "signalbox-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A dashboard as Vite builds it. */
export async function builtDashboard(): Promise<string> {
  const folder = await temporaryFolder();
  const dist = join(folder, "dist");
  await mkdir(join(dist, "assets"), { recursive: true });
  await writeFile(join(folder, "secret.txt"), "not for you");
  await writeFile(join(dist, "index.html"), "<!doctype html><title>Signalbox</title>");
  await writeFile(join(dist, "favicon.svg"), "<svg/>");
  await writeFile(join(dist, "assets", "index-a1b2c3.js"), "export {};");
  return dist;
}

/** An operator listener on a free port, stopped after the test. */
export async function startOperatorListener(
  options: Partial<OperatorListenerOptions> & { now?: () => number; cookieKey?: string } = {},
) {
  const cookie = createSessionCookie(options.cookieKey ?? "k".repeat(43), () => listener.port);
  const codes = createLoginCodes(options.now);
  const metrics = createMetrics();
  const { routes, tick } = testRoutes();
  const listener = createOperatorListener({
    listen: { host: "loopback", port: 0 },
    allowedHosts: ["box.example"],
    logger: silent,
    authenticate: authenticateOperators(token, cookie),
    authenticateToken: authenticateMachines(token),
    codes,
    cookie,
    origin: () => `http://localhost:${listener.port}`,
    binaryOnly: new Set(["signalbox.v1.LogService/ReadLogs"]),
    readLog: () => undefined,
    readAudit: async function* () {},
    notReady: () => undefined,
    webFolder: "/nowhere",
    routes,
    interceptors: [],
    metrics,
    ...options,
  });
  await listener.start();
  onTestFinished(() => listener.stop());
  const url = `http://127.0.0.1:${listener.port}`;
  return { listener, url, codes, metrics, tick, transport: grpcWeb(url) };
}

/** A worker listener on a free port, stopped after the test. */
export async function startWorkerListener(limits: WorkerLimits = {}, options: Partial<WorkerListenerOptions> = {}) {
  const metrics = createMetrics();
  const { routes, tick } = testRoutes();
  const listener = createWorkerListener({
    listen: { host: "loopback", port: 0 },
    logger: silent,
    authenticate: authenticateMachines(token),
    origin: () => "http://localhost:8080",
    routes,
    interceptors: [],
    metrics,
    limits,
    ...options,
  });
  await listener.start();
  onTestFinished(() => listener.stop());
  const url = `http://127.0.0.1:${listener.port}`;
  return { listener, url, metrics, tick, transport: grpc(url) };
}

/** A gRPC-Web client; with the token unless other headers are given. */
export function grpcWeb(baseUrl: string, headers: Record<string, string> = bearer) {
  return createGrpcWebTransport({ baseUrl, httpVersion: "1.1", interceptors: [withHeaders(headers)] });
}

/** A gRPC client; with the token unless other headers are given. */
export function grpc(baseUrl: string, headers: Record<string, string> = bearer) {
  return createGrpcTransport({ baseUrl, interceptors: [withHeaders(headers)] });
}

function withHeaders(headers: Record<string, string>): Interceptor {
  return (next) => (request) => {
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    return next(request);
  };
}

/** One plain HTTP request; unlike `fetch` it may set any header and does not tidy up the path. */
export async function ask(
  url: string,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string | Uint8Array } = {},
): Promise<{ status: number; headers: IncomingHttpHeaders; body: string }> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      hostname: hostname.replace(/^\[|\]$/g, ""),
      port,
      path,
      method: options.method ?? "GET",
      headers: options.headers ?? {},
      agent: false,
    });
    request.once("error", reject);
    request.once("response", (response) => {
      text(response).then(
        (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        reject,
      );
    });
    request.end(options.body);
  });
}

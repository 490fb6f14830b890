import type { Server, Socket } from "node:net";
import {
  constants,
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { fastifyConnectPlugin } from "@connectrpc/connect-fastify";
import { compressionGzip } from "@connectrpc/connect-node";
import { fastify, LogController } from "fastify";
import type { ListenAt } from "../config.ts";
import type { Logger } from "../logger.ts";
import { createCuts } from "./cuts.ts";
import { EarlyPort } from "./early-port.ts";
import { grpcStatus, isGrpcCall } from "./grpc-status.ts";
import { dropLongDeadline } from "./long-deadlines.ts";
import type { Listener } from "./operator-listener.ts";
import type { PlainAccess } from "./plain-stream.ts";
import { noSchemas } from "./no-schemas.ts";
import { createRpcOptions, readMaxBytes, type RpcOptions } from "./rpc-options.ts";
import { createSessionPings, type SessionPingOptions } from "./session-pings.ts";
import { SilentConnections } from "./silent-connections.ts";
import { takeTurns } from "./stream-turns.ts";
import { StreamWatch, type StreamBounds } from "./stream-watch.ts";

/** What a connection must begin with to be HTTP/2 with prior knowledge. */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/**
 * Bytes of a stream that may be on their way or wait here unread: one chunk and what goes with it. It is what keeps a client that sends
 * more than it has credit for, or faster than the disk takes it, from filling this process's memory.
 */
const streamWindowBytes = 512 * 1024;

/** Bytes of a connection that may be on their way. The default of 64 KiB costs three quarters of the throughput. */
const connectionWindowBytes = 16 * 1024 * 1024;

/** Bounds on what a client may hold open. Tests make them shorter. */
export interface WorkerLimits {
  /** The HTTP/2 preface must be there so long after the connection, milliseconds. Default 10,000. */
  readonly prefaceTimeoutMs?: number;
  /** The one message of a call that is no client stream must be there so long after its headers, milliseconds. Default 15,000. */
  readonly requestTimeoutMs?: number;
  /** Open connections for each address listened on; more are dropped. Default 2,048. */
  readonly maxConnections?: number;
  /** Connections without a preface, for all addresses together; of more the oldest is dropped. Default 1,024: a thousand workers may come back at once. */
  readonly mostSilent?: number;
  readonly pings?: SessionPingOptions;
  readonly streams?: StreamBounds;
}

/** What the listener for workers serves. */
export interface WorkerListenerOptions extends RpcOptions {
  readonly listen: ListenAt;
  /** The port, if it was taken already. */
  readonly port?: EarlyPort;
  readonly logger: Logger;
  /** Told to those who come with HTTP/1.1: where browsers belong. */
  readonly origin: () => string;
  readonly limits?: WorkerLimits;
  /** Puts methods of many small messages, or that are called often, before the general machinery; see plain-stream.ts. */
  readonly plainCalls?: (server: Http2Server, access: PlainAccess) => void;
}

/**
 * The listener for workers and machine clients: gRPC on HTTP/2 without TLS, with the token as bearer. Browsers cannot speak this,
 * so there is no `Host` to check. Whoever comes with HTTP/1.1 is told where to go.
 */
export function createWorkerListener(options: WorkerListenerOptions): Listener {
  const { logger, metrics, limits = {} } = options;
  const { requestTimeoutMs = 15_000 } = limits;
  // No brotli: at its default quality it takes 60 ms for 28 KB.
  const rpc = createRpcOptions("worker", [compressionGzip], options);
  const methods = new Map<string, DescMethod>();
  const pings = createSessionPings({
    ...limits.pings,
    onDead: () => logger.info("a worker's connection answers no ping: cut"),
  });
  const onCut = createCuts("worker", logger, metrics);
  const silent = new SilentConnections(limits.mostSilent ?? 1_024, () => onCut("silent connection"));
  const watch = new StreamWatch(limits.streams ?? {}, onCut, ({ streams, bytes }) => {
    metrics.workerStreams.set(streams);
    metrics.workerHeldBytes.set(bytes);
  });

  const app = fastify({
    http2: true,
    loggerInstance: logger.child({}, { level: "warn" }),
    logController: new LogController({ disableRequestLogging: true }),
    schemaController: noSchemas,
    serverFactory: (handler) => http2Server(handler),
  });
  app.addHook("onRequest", async (request, reply) => {
    // The Connect plugin makes a URL of it and fails if that is none, as with the unbracketed `::1:9090` that Node's own client
    // sends. Nothing here depends on the name.
    request.raw.headers[":authority"] = "signalbox";
    const method = methods.get(request.routeOptions.url ?? "");
    if (method === undefined) return;
    if (request.method !== "POST") return reply.code(405).header("allow", "POST").send("RPCs are called with POST.\n");
    if (!isGrpcCall(request, "grpc")) {
      metrics.refusals.inc({ listener: "worker", reason: "content type" });
      return reply.code(415).send("This port speaks gRPC: calls need content-type application/grpc+proto.\n");
    }
    dropLongDeadline(request.raw.headers);
    if (method.methodKind === "unary" || method.methodKind === "server_streaming") cutIfLate(request.raw);
  });
  app.setNotFoundHandler(async (request, reply) => {
    if (isGrpcCall(request, "grpc"))
      return reply
        .code(200)
        .headers(grpcStatus("grpc", Code.Unimplemented, "There is no such RPC."))
        .send();
    return reply.code(404).type("text/plain; charset=utf-8").send("There is no such RPC.\n");
  });
  void app.register(fastifyConnectPlugin, {
    ...rpc.plugin,
    routes: (router) => {
      options.routes(router);
      for (const { requestPath, method } of router.handlers) methods.set(requestPath, method);
    },
    grpcWeb: false,
    connect: false,
  });
  options.plainCalls?.(app.server, {
    callerOf: (headers, address) => (rpc.shutdown.aborted ? undefined : options.authenticate(headers, address)),
    shutdown: rpc.shutdown,
    readMaxBytes,
    requestTimeoutMs,
  });
  takeTurns(app.server, admit);
  app.server.on("session", (session) => {
    session.setLocalWindowSize(connectionWindowBytes);
    metrics.workerSessions.inc();
    session.once("close", () => metrics.workerSessions.dec());
    session.on("error", (error) => logger.debug({ err: error }, "a worker's connection failed"));
    pings.add(session);
    watch.addSession(session);
  });

  let servers: readonly Server[] = [];
  let stopped: Promise<void> | undefined;

  function admit(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    if (watch.addStream(stream, headers["content-type"])) return true;
    stream.on("error", () => undefined); // It is over anyway.
    const words = "This server has as many open calls as it takes. Try again in a moment.";
    stream.respond({ ":status": 200, ...grpcStatus("grpc", Code.ResourceExhausted, words) }, { endStream: true });
    // The client may still be sending.
    setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
    return false;
  }

  /** Node has no such limit for HTTP/2, and probes need no token. */
  function cutIfLate(request: Http2ServerRequest) {
    const timer = setTimeout(() => request.stream.close(constants.NGHTTP2_CANCEL), requestTimeoutMs);
    const inTime = () => clearTimeout(timer);
    request.once("end", inTime).once("close", inTime);
  }

  function sortOut(socket: Socket) {
    const http1 = () => {
      socket.end(
        "HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n" +
          `This port speaks gRPC on HTTP/2, for workers. Browsers: ${options.origin()}\n`,
      );
    };
    silent.add(socket);
    const http2 = () => {
      silent.heard(socket);
      app.server.emit("connection", socket);
    };
    takePreface(socket, limits.prefaceTimeoutMs ?? 10_000, http2, http1);
  }

  return {
    get port() {
      return (servers[0]?.address() as { port: number } | null | undefined)?.port ?? 0;
    },
    async start() {
      await app.ready();
      const port = await (options.port ?? EarlyPort.take(options.listen, "SIGNALBOX_WORKER_PORT"));
      servers = port.serve(sortOut);
      for (const server of servers) {
        server.maxConnections = limits.maxConnections ?? 2_048;
        server.on("drop", () => onCut("connection beyond the limit"));
      }
    },
    stop(graceMs = 500) {
      stopped ??= (async () => {
        for (const server of servers) server.close();
        rpc.endStreams();
        // GOAWAY: streams that are open may end, new ones are refused.
        for (const session of pings.open()) session.close();
        const deadline = performance.now() + graceMs;
        while (pings.open().length > 0 && performance.now() < deadline) await delay(10);
        for (const session of pings.open()) session.destroy();
        pings.stop();
        watch.stop();
        await app.close();
      })();
      return stopped;
    },
  };
}

function http2Server(handler: Parameters<typeof createHttp2Server>[1]): Http2Server {
  return createHttp2Server(
    {
      settings: {
        maxConcurrentStreams: 1_024,
        initialWindowSize: streamWindowBytes,
        maxFrameSize: 256 * 1024,
        maxHeaderListSize: 16 * 1024,
        enablePush: false,
      },
      maxHeaderListPairs: 64,
      // Mebibytes of what this connection's machinery holds: frames that are not sent, headers, pieces that are not taken apart.
      maxSessionMemory: 16,
    },
    handler,
  );
}

/**
 * Reads the first bytes of a connection and puts them back. Calls `http2` when they are the preface, `http1` when they look like a
 * request of HTTP/1; anything else, and a peer that keeps silent, is cut.
 */
function takePreface(socket: Socket, timeoutMs: number, http2: () => void, http1: () => void): void {
  const cut = () => socket.destroy();
  socket.setTimeout(timeoutMs, cut);
  socket.on("error", cut);
  socket.on("readable", look);
  let head = Buffer.alloc(0);

  function look() {
    const bytes = socket.read() as Buffer | null;
    if (bytes === null) return;
    head = Buffer.concat([head, bytes]);
    const length = Math.min(head.length, preface.length);
    if (!head.subarray(0, length).equals(preface.subarray(0, length))) {
      socket.off("readable", look);
      if (/^[A-Z]{3,16} /.test(head.toString("latin1", 0, 20))) http1();
      else cut();
      return;
    }
    if (length < preface.length) return;
    socket.unshift(head);
    socket.off("readable", look);
    socket.off("error", cut);
    socket.setTimeout(0, cut);
    socket.off("timeout", cut);
    http2();
  }
}

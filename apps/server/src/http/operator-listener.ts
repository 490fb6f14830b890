import { createServer, type Server } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { fastifyConnectPlugin } from "@connectrpc/connect-fastify";
import type { DescMethod } from "@bufbuild/protobuf";
import {
  fastify,
  LogController,
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from "fastify";
import type { Authenticate } from "../auth/authenticate.ts";
import type { LoginCodes } from "../auth/login-codes.ts";
import type { SessionCookie } from "../auth/session-cookie.ts";
import { stranger } from "../auth/stranger.ts";
import { sessionRoutes } from "../auth/session-routes.ts";
import type { ListenAt } from "../config.ts";
import type { Logger } from "../logger.ts";
import { auditExportRoute, type ReadAudit } from "./audit-export.ts";
import { bind } from "./bind.ts";
import { createCuts } from "./cuts.ts";
import { dashboard, pageOfNowhere } from "./dashboard.ts";
import { grpcStatus, isGrpcCall } from "./grpc-status.ts";
import { healthRoutes } from "./health-routes.ts";
import { createHostGuard } from "./host-guard.ts";
import { logDownloadRoute, type ReadLog } from "./log-download.ts";
import { dropLongDeadline } from "./long-deadlines.ts";
import { metricsRoute, type Refusal } from "./metrics.ts";
import { noSchemas } from "./no-schemas.ts";
import type { PlainWebAccess } from "./plain-web-stream.ts";
import { oneAtATime } from "./request-turns.ts";
import { dropParameters, isRpcContentType } from "./rpc-content-type.ts";
import { createRpcOptions, readMaxBytes, type RpcOptions } from "./rpc-options.ts";
import { isSameOrigin } from "./same-origin-guard.ts";
import { safeHeaders, securityHeaders } from "./security-headers.ts";
import { SilentConnections } from "./silent-connections.ts";

/** Bounds on what a client may hold open. Tests make them shorter. */
export interface OperatorLimits {
  /** Headers must be there so long after the connection or the last request, milliseconds. Default 10,000. */
  readonly headersTimeoutMs?: number;
  /** The whole request, body included, must be there, milliseconds. Says nothing about answers. Default 15,000. */
  readonly requestTimeoutMs?: number;
  /**
   * A connection on which nothing moves for so long is cut, milliseconds. Default 60,000. Live streams send a heartbeat every 5 s,
   * so this hits readers that have stopped reading; they come back from their cursor.
   */
  readonly stallTimeoutMs?: number;
  /** Open connections for each address listened on; more are dropped. Default 512. */
  readonly maxConnections?: number;
  /** Connections that have not made a request, for all addresses together; of more the oldest is dropped. Default 128. */
  readonly mostSilent?: number;
}

/** When there are too many connections, idle ones make room; they are looked for at most so often. */
const makeRoomEveryMs = 100;

/** What the listener for browsers and other operator clients serves. */
export interface OperatorListenerOptions extends RpcOptions {
  readonly listen: ListenAt;
  readonly allowedHosts: readonly string[];
  readonly logger: Logger;
  /** Token only. `authenticate` takes the cookie too. */
  readonly authenticateToken: Authenticate;
  readonly codes: LoginCodes;
  readonly cookie: SessionCookie;
  /** The address to open in a browser, without trailing slash. */
  readonly origin: () => string;
  /** Procedures (`package.Service/Method`) whose answers hold stored bytes and cannot be JSON. */
  readonly binaryOnly: ReadonlySet<string>;
  /** Serves calls past the general machinery, which serves the rest. */
  readonly plainCalls?: (calls: FastifyInstance, access: PlainWebAccess) => void;
  readonly readLog: ReadLog;
  readonly readAudit: ReadAudit;
  /** Why the server is not ready; undefined if it is. */
  readonly notReady: () => string | undefined;
  /** Folder of the built dashboard. */
  readonly webFolder: string;
  readonly limits?: OperatorLimits;
}

/** A listener that can be started and stopped once. */
export interface Listener {
  /** The port; 0 before `start`. */
  readonly port: number;
  /** Listens. Throws CannotListen. */
  start(): Promise<void>;
  /**
   * Takes no more connections, ends streams with UNAVAILABLE, waits `graceMs` for answers that are under way, then cuts what is
   * left. May be called twice.
   */
  stop(graceMs?: number): Promise<void>;
}

/**
 * The listener for people: gRPC-Web and Connect on HTTP/1.1, the dashboard, login, health, metrics and log downloads.
 *
 * What a request must pass, in this order and before its body is read: a known `Host` (421); not from another site (403, except
 * for the dashboard's files, which are no secret); an RPC content type (415); a cookie or the token (401). A gRPC-Web call hears of each
 * but the content type as a gRPC status: PERMISSION_DENIED, UNAUTHENTICATED.
 */
export function createOperatorListener(options: OperatorListenerOptions): Listener {
  const { logger, metrics, limits = {} } = options;
  const loggerInstance: FastifyBaseLogger = logger.child({}, { level: "warn" });
  const app = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    schemaController: noSchemas,
    // An address that cannot be decoded passes no hook.
    frameworkErrors: (_error, request, reply) => void answerNowhere(request, reply.headers(safeHeaders)),
    bodyLimit: 16 * 1024,
    requestTimeout: limits.requestTimeoutMs ?? 15_000,
    connectionTimeout: limits.stallTimeoutMs ?? 60_000,
    keepAliveTimeout: 30_000,
    http: {
      maxHeaderSize: 16 * 1024,
      headersTimeout: limits.headersTimeoutMs ?? 10_000,
      connectionsCheckingInterval: Math.min(1_000, limits.headersTimeoutMs ?? 1_000),
    },
  });
  // Browsers do not take compressed messages, and the way is short.
  const rpc = createRpcOptions("operator", [], options);
  let openRequests = 0;
  const isKnownHost = createHostGuard(options.listen.host, options.allowedHosts);

  const refuse = (reply: FastifyReply, reason: Refusal, status: number, message: string) => {
    metrics.refusals.inc({ listener: "operator", reason });
    if (isGrpcCall(reply.request, "grpc-web"))
      return reply
        .code(200)
        .headers(grpcStatus("grpc-web", Code.PermissionDenied, message))
        .send();
    return reply.code(status).type("application/json; charset=utf-8").send({ error: message });
  };

  async function answerNowhere(request: FastifyRequest, reply: FastifyReply) {
    if (isGrpcCall(request, "grpc-web"))
      return reply
        .code(200)
        .headers(grpcStatus("grpc-web", Code.Unimplemented, "There is no such RPC."))
        .send();
    const page = isKnownHost(request.headers.host) ? await pageOfNowhere(request, options.webFolder) : undefined;
    if (page) return reply.code(404).type("text/html; charset=utf-8").send(page);
    return reply.code(404).type("application/json; charset=utf-8").send({ error: "There is nothing at this address." });
  }

  app.addHook("onRequest", async (request, reply) => {
    dropParameters(request.raw.headers);
    openRequests++;
    reply.raw.once("close", () => openRequests--);
  });
  securityHeaders(app);
  app.setErrorHandler((error: FastifyError, request, reply) => answerError(error, request, reply));
  app.setNotFoundHandler(answerNowhere);
  healthRoutes(app, options.notReady);

  void app.register(async (known) => {
    known.addHook("onRequest", async (request, reply) => {
      if (isKnownHost(request.headers.host)) return;
      logger.warn({ host: request.headers.host, address: request.ip }, "request for another host name refused");
      return refuse(
        reply,
        "host",
        421,
        "This server does not answer to that host name. SIGNALBOX_ALLOWED_HOSTS can allow it.",
      );
    });
    dashboard(known, options.webFolder);

    void known.register(async (own) => {
      own.addHook("onRequest", async (request, reply) => {
        if (isSameOrigin(request.headers)) return;
        logger.warn({ origin: request.headers.origin, address: request.ip }, "request from another site refused");
        return refuse(reply, "origin", 403, "Requests from other sites are refused.");
      });
      sessionRoutes(own, options);

      void own.register(async (signedIn) => {
        signedIn.addHook("onRequest", async (request, reply) => {
          if (options.authenticate(request.headers, request.ip)) return;
          const { words, message } = stranger(request.headers.authorization !== undefined, true);
          options.atTheDoor?.({ words, refused: true, address: request.ip });
          void reply.header("www-authenticate", "Bearer");
          return refuse(reply, "not signed in", 401, message);
        });
        metricsRoute(signedIn, metrics);
        logDownloadRoute(signedIn, options.readLog);
        auditExportRoute(signedIn, options.readAudit);
      });

      void own.register(async (calls) => {
        const methods = new Map<string, DescMethod>();
        calls.addHook("onRequest", async (request, reply) => {
          const method = methods.get(request.routeOptions.url ?? "");
          if (method === undefined) return;
          if (request.method !== "POST") {
            return reply.code(405).header("allow", "POST").send({ error: "RPCs are called with POST." });
          }
          if (!isRpcContentType(request.headers["content-type"], method, options.binaryOnly)) {
            return refuse(reply, "content type", 415, "This call needs content-type application/grpc-web+proto.");
          }
          dropLongDeadline(request.raw.headers);
          // Proxies that buffer answers would hold live streams back.
          void reply.header("x-accel-buffering", "no");
        });
        options.plainCalls?.(calls, {
          callerOf: ({ headers, ip }) => options.authenticate(headers, ip),
          shutdown: rpc.shutdown,
          readMaxBytes,
        });
        await calls.register(fastifyConnectPlugin, {
          ...rpc.plugin,
          grpc: false,
          routes: (router) => {
            options.routes(router);
            for (const handler of router.handlers) methods.set(handler.requestPath, handler.method);
          },
        });
      });
    });
  });

  let servers: Server[] = [];
  let stopped: Promise<void> | undefined;
  const onCut = createCuts("operator", logger, metrics);
  oneAtATime(app.server, (address) => onCut("too many requests ahead", address));
  const silent = new SilentConnections(limits.mostSilent ?? 128, () => onCut("silent connection"));
  app.server.on("request", (request) => silent.heard(request.socket));
  app.server.on("connection", (socket) => {
    silent.add(socket);
    metrics.operatorConnections.inc();
    socket.once("close", () => metrics.operatorConnections.dec());
  });

  let madeRoomAt = -Infinity;
  /** Somebody was dropped: those who keep a connection open for later give way, so that the next one gets in. */
  function makeRoom() {
    onCut("connection beyond the limit");
    const now = performance.now();
    if (now - madeRoomAt < makeRoomEveryMs) return;
    madeRoomAt = now;
    app.server.closeIdleConnections();
  }

  return {
    get port() {
      return (app.server.address() as { port: number } | null)?.port ?? 0;
    },
    async start() {
      await app.ready();
      await bind(options.listen, "SIGNALBOX_PORT", (count) => {
        // One HTTP server answers for all addresses: the others hand it their connections.
        const others = Array.from({ length: count - 1 }, () =>
          createServer({ noDelay: true }, (socket) => app.server.emit("connection", socket)),
        );
        servers = [app.server, ...others];
        for (const server of servers) {
          server.maxConnections = limits.maxConnections ?? 512;
          server.on("drop", makeRoom);
        }
        return servers;
      });
    },
    stop(graceMs = 500) {
      stopped ??= (async () => {
        rpc.endStreams();
        for (const server of servers) server.close();
        const deadline = performance.now() + graceMs;
        while (openRequests > 0 && performance.now() < deadline) await delay(10);
        app.server.closeAllConnections();
        await app.close();
      })();
      return stopped;
    },
  };
}

function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
  const status = error.statusCode ?? 500;
  if (status >= 500) request.log.error({ err: error, path: request.routeOptions.url }, "request failed");
  void reply.code(status).type("application/json; charset=utf-8");
  return reply.send({
    error: status >= 500 ? "Something went wrong in the server; its log says what." : error.message,
  });
}

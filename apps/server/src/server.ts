import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { ActorKind, ActorSchema, LiveService } from "@signalbox/protocol";
import { authenticateMachines, authenticateOperators } from "./auth/authenticate.ts";
import { openKeyFile } from "./auth/key-file.ts";
import type { AtTheDoor } from "./auth/caller.ts";
import { createLoginCodes } from "./auth/login-codes.ts";
import { createSessionCookie } from "./auth/session-cookie.ts";
import { loginLink } from "./auth/session-routes.ts";
import { isLoopback, type Config, type ListenAt } from "./config.ts";
import { openDomain, type Domain } from "./domain.ts";
import type { EarlyPort } from "./http/early-port.ts";
import { servePlainStream } from "./http/plain-stream.ts";
import { servePlainUnary } from "./http/plain-unary.ts";
import { servePlainWebStream } from "./http/plain-web-stream.ts";
import { createMetrics } from "./http/metrics.ts";
import { createOperatorListener } from "./http/operator-listener.ts";
import { createWorkerListener } from "./http/worker-listener.ts";
import type { Logger } from "./logger.ts";
import { LoopGaps } from "./loop-gaps.ts";
import { Readiness } from "./readiness.ts";
import { actorOfCaller } from "./rpc/actor.ts";
import { errorInterceptor, errorsOf } from "./rpc/errors.ts";
import { health, openServices } from "./rpc/health.ts";
import { reflection } from "./rpc/reflection.ts";
import { openStore } from "./open-store.ts";
import { removeServerFile, writeServerFile } from "./server-file.ts";
import type { StoreHealth } from "./store/health.ts";
import type { Store } from "./store/store.ts";

/** Answers of these calls hold stored bytes that a JSON encoder would leave out. Streams are binary anyway. */
const binaryOnly = new Set(["signalbox.v1.LogService/ReadLogs"]);

/** The parts of a server, put together. */
export interface SignalboxServer {
  readonly domain: Domain;
  /** The file that workers and programs of this user read the token from. */
  readonly tokenFile: string;
  /** Address to open in a browser, without trailing slash. Known after `start`. */
  readonly origin: string;
  /** Address for workers on this machine, without trailing slash. Known after `start`. */
  readonly workerUrl: string;
  /** Aborts, with the error as its reason, when the store cannot go on: the process should say so and end. */
  readonly failed: AbortSignal;
  /** A new link that signs a browser in, once. */
  newLink(): string;
  /** Listens. Throws CannotListen; `stop` is to be called in any case. */
  start(): Promise<void>;
  /** Not ready any more, no more work for workers; everything else goes on, so that they can report how they end. */
  beginDrain(): void;
  /**
   * Takes no more lines and acknowledges those that it has, ends streams with UNAVAILABLE, closes the listeners, then the store. May be
   * called twice.
   */
  stop(): Promise<void>;
}

/**
 * Takes the store, opens the keys and the domain, and composes the listeners; it listens nowhere yet. Throws StoreLocked if another
 * process has the data folder.
 */
export async function openServer(
  config: Config,
  logger: Logger,
  version: string,
  opening: Promise<Store> = openStore(config, logger),
  workerPort?: EarlyPort,
): Promise<SignalboxServer> {
  const { dataFolder } = config;
  const store = await opening;
  let domain: Domain;
  let token: string;
  let cookieKey: string;
  try {
    token = await openKeyFile(dataFolder, "token");
    cookieKey = await openKeyFile(dataFolder, "cookie.key");
    domain = await openDomain({ store, logger, serverVersion: version });
  } catch (error) {
    await store.close();
    throw error;
  }

  const metrics = createMetrics();
  domain.addMetrics(metrics.registry);
  const loopGaps = new LoopGaps(logger, metrics.registry);
  const codes = createLoginCodes();
  const cookie = createSessionCookie(cookieKey, () => operator.port);
  const authenticateToken = authenticateMachines(token);
  const origin = () => originOf(config, operator.port);
  const interceptors = [errorInterceptor(logger), domain.auditCalls];
  const atTheDoor: AtTheDoor = ({ words, refused, caller, address }) =>
    domain.auditLog.signIn(caller ? actorOfCaller(caller) : create(ActorSchema, { address }), words, refused);
  const readiness = new Readiness();
  readiness.say("starting", "starting");
  const storeFailed = () => readiness.say("failed", "the store has failed");
  const storeChanged = ({ state }: StoreHealth) =>
    readiness.say("store", state === "full" ? "the disk is full: no lines are taken" : undefined);
  store.health.onChange(storeChanged);
  storeChanged(store.health.current);
  store.failed.addEventListener("abort", storeFailed, { once: true });
  if (store.failed.aborted) storeFailed();

  const operator = createOperatorListener({
    listen: config.operator,
    allowedHosts: config.allowedHosts,
    webFolder: config.webFolder,
    logger,
    metrics,
    interceptors,
    routes: domain.operatorRoutes,
    readLog: domain.readLog,
    readAudit: domain.readAudit,
    atTheDoor,
    binaryOnly,
    plainCalls: (calls, access) =>
      servePlainWebStream(calls, domain.plainWatch, access, errorsOf(logger, LiveService.method.watch.name)),
    authenticate: authenticateOperators(token, cookie),
    authenticateToken,
    codes,
    cookie,
    origin,
    notReady: () => readiness.notReady,
  });
  const pushErrors = errorsOf(logger, "PushLogs");
  const connectErrors = errorsOf(logger, "Connect");
  const worker = createWorkerListener({
    listen: config.worker,
    ...(workerPort ? { port: workerPort } : {}),
    logger,
    metrics,
    interceptors,
    routes: (router) => {
      domain.workerRoutes(router);
      health(router, readiness);
      reflection(router);
    },
    plainCalls: (server, access) => {
      servePlainUnary(server, domain.plainCalls(interceptors), access);
      servePlainStream(server, domain.plainPushLogs, access, (error) => pushErrors(error, access.shutdown));
      servePlainStream(server, domain.plainConnect, access, (error) => connectErrors(error, access.shutdown));
    },
    openServices,
    atTheDoor,
    authenticate: authenticateToken,
    origin,
  });

  const server: SignalboxServer = {
    domain,
    tokenFile: join(dataFolder, "token"),
    failed: store.failed,
    get origin() {
      return origin();
    },
    get workerUrl() {
      return localUrl(config.worker, worker.port);
    },
    newLink: () => {
      const actor = create(ActorSchema, { kind: ActorKind.SERVER, name: "server" });
      domain.auditLog.signIn(actor, "made a link", false);
      return loginLink(origin(), codes.issue());
    },

    async start() {
      await worker.start();
      await operator.start();
      await writeServerFile(dataFolder, {
        pid: process.pid,
        origin: origin(),
        operatorUrl: localUrl(config.operator, operator.port),
        workerUrl: server.workerUrl,
      }).catch((error: unknown) => {
        // A full disk: what needs this file can do without it, what is stored and what workers hold cannot do without the server.
        logger.error(
          { err: error, dataFolder },
          "server.json was not written: programs of this user do not find the server",
        );
      });
      readiness.say("starting", undefined);
    },

    beginDrain() {
      readiness.say("draining", "draining");
      domain.beginDrain();
    },

    stop() {
      stopped ??= (async () => {
        server.beginDrain();
        loopGaps.stop();
        await domain.flushLines();
        await Promise.all([operator.stop(), worker.stop()]);
        // What waits for room now would hold the end up; its workers keep it.
        store.stopWaiting();
        await domain.close();
        await store.close();
        await removeServerFile(dataFolder);
      })();
      return stopped;
    },
  };
  let stopped: Promise<void> | undefined;
  return server;
}

function originOf({ operator, allowedHosts }: Config, port: number): string {
  if (isLoopback(operator.host)) return `http://localhost:${port}`;
  return `http://${allowedHosts[0] ?? bracketed(reachable(operator.host))}:${port}`;
}

/** The address at which this machine itself reaches a listener. */
function localUrl({ host }: ListenAt, port: number): string {
  return `http://${bracketed(reachable(host))}:${port}`;
}

function reachable(host: string): string {
  if (host === "loopback" || host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

import { setMaxListeners } from "node:events";
import {
  Code,
  ConnectError,
  createContextValues,
  type ConnectRouter,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import type { FastifyRequest } from "fastify";
import type { Authenticate } from "../auth/authenticate.ts";
import { callerKey } from "../auth/caller.ts";
import type { Metrics } from "./metrics.ts";

/** What both listeners need to serve RPCs. */
export interface RpcOptions {
  /** Registers the services. */
  readonly routes: (router: ConnectRouter) => void;
  /** Outermost first. */
  readonly interceptors: readonly Interceptor[];
  readonly authenticate: Authenticate;
  readonly metrics: Metrics;
  /** Full names of the services that anybody may call. */
  readonly openServices?: ReadonlySet<string>;
}

/** Largest request message. */
export const readMaxBytes = 1024 * 1024;
/** Largest response message. */
export const writeMaxBytes = 4 * 1024 * 1024;
/** Longest deadline that a client may set. Streams are meant to have none. */
const maxTimeoutMs = 24 * 3_600_000;

/**
 * Options of the Connect plugin that are the same on both listeners, and the signal that ends all streams. The gate runs when
 * headers are there and before any byte of a body is read.
 */
export function createRpcOptions(listener: "operator" | "worker", options: RpcOptions) {
  const shutdown = new AbortController();
  // Every open stream listens to it.
  setMaxListeners(0, shutdown.signal);
  const refuse = (reason: "not signed in" | "draining", message: string, code: Code): never => {
    options.metrics.refusals.inc({ listener, reason });
    throw new ConnectError(message, code);
  };
  return {
    plugin: {
      interceptors: [...options.interceptors],
      readMaxBytes,
      writeMaxBytes,
      maxTimeoutMs,
      shutdownSignal: shutdown.signal,
      contextValues: (request: FastifyRequest) =>
        createContextValues().set(callerKey, options.authenticate(request.headers, request.ip)),
      requestGate: ({ service, values }: Pick<HandlerContext, "service" | "values">) => {
        if (shutdown.signal.aborted) refuse("draining", "The server is stopping: connect again.", Code.Unavailable);
        if (values.get(callerKey) === undefined && !options.openServices?.has(service.typeName)) {
          const how = listener === "operator" ? "Sign in, or send" : "Send";
          refuse("not signed in", `${how} the token: 'authorization: Bearer <token>'.`, Code.Unauthenticated);
        }
      },
    },
    /** Aborts the signal of every handler. Clients get UNAVAILABLE. May be called twice. */
    endStreams() {
      shutdown.abort(new ConnectError("The server is stopping: connect again.", Code.Unavailable));
    },
  };
}

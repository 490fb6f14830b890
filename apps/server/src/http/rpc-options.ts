import {
  Code,
  ConnectError,
  createContextValues,
  type ConnectRouter,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import type { FastifyRequest } from "fastify";
import type { Authenticate } from "../auth/authenticate.ts";
import { addressKey, callerKey, type AtTheDoor } from "../auth/caller.ts";
import { stranger } from "../auth/stranger.ts";
import { connectionKey, connectionOf } from "./connection-key.ts";
import { maxTimeoutMs } from "./long-deadlines.ts";
import { forManyListeners } from "./many-listeners.ts";
import type { Metrics } from "./metrics.ts";

/** What both listeners need to serve RPCs. */
export interface RpcOptions {
  /** Registers the services. */
  readonly routes: (router: ConnectRouter) => void;
  /** Outermost first. */
  readonly interceptors: readonly Interceptor[];
  readonly authenticate: Authenticate;
  /** Hears of those who come to the door. */
  readonly atTheDoor?: AtTheDoor;
  readonly metrics: Metrics;
  /** Full names of the services that anybody may call. */
  readonly openServices?: ReadonlySet<string>;
}

/** Largest request message. */
export const readMaxBytes = 1024 * 1024;
/** Largest response message. */
export const writeMaxBytes = 4 * 1024 * 1024;

/**
 * Options of the Connect plugin that are the same on both listeners, and the signal that ends all streams. The gate runs when
 * headers are there and before any byte of a body is read.
 */
export function createRpcOptions(
  listener: "operator" | "worker",
  acceptCompression: readonly Compression[],
  options: RpcOptions,
) {
  const shutdown = new AbortController();
  // Every open stream listens to it.
  const signal = forManyListeners(shutdown.signal);
  const refuse = (reason: "not signed in" | "draining", message: string, code: Code): never => {
    options.metrics.refusals.inc({ listener, reason });
    throw new ConnectError(message, code);
  };
  const encodings = ["identity", ...acceptCompression.map(({ name }) => name)];
  return {
    plugin: {
      interceptors: [...options.interceptors],
      acceptCompression: [...acceptCompression],
      readMaxBytes,
      writeMaxBytes,
      maxTimeoutMs,
      shutdownSignal: signal,
      contextValues: (request: FastifyRequest) =>
        createContextValues()
          .set(callerKey, options.authenticate(request.headers, request.ip))
          .set(addressKey, request.ip)
          .set(connectionKey, connectionOf(request)),
      requestGate: ({ service, values, requestHeader, responseHeader, timeoutMs }: HandlerContext) => {
        if (signal.aborted) refuse("draining", "The server is stopping: connect again.", Code.Unavailable);
        if (values.get(callerKey) === undefined && !options.openServices?.has(service.typeName)) {
          const { words, message } = stranger(requestHeader.has("authorization"), listener === "operator");
          options.atTheDoor?.({ words, refused: true, address: values.get(addressKey) });
          refuse("not signed in", message, Code.Unauthenticated);
        }
        // The library would begin to work: its timer has not run out yet.
        if ((timeoutMs() ?? 1) <= 0) throw new ConnectError("The deadline had passed already.", Code.DeadlineExceeded);
        const encoding = requestHeader.get("grpc-encoding") ?? "identity";
        if (!encodings.includes(encoding)) {
          responseHeader.set("grpc-accept-encoding", encodings.join(","));
          throw new ConnectError(
            `Messages compressed with '${encoding.slice(0, 40)}' are not understood here, only: ${encodings.join(", ")}.`,
            Code.Unimplemented,
          );
        }
      },
    },
    /** Aborts when all streams shall end, with the reason that their clients hear. */
    shutdown: signal,
    /** Aborts the signal of every handler. Clients get UNAVAILABLE. May be called twice. */
    endStreams() {
      shutdown.abort(new ConnectError("The server is stopping: connect again.", Code.Unavailable));
    },
  };
}

import type { ServerHttp2Stream } from "node:http2";
import { createContextKey } from "@connectrpc/connect";
import type { FastifyRequest } from "fastify";

/** The connection on which a call came: always the same object for the same connection, and of no other use. */
export const connectionKey = createContextKey<object | undefined>(undefined, { description: "connection" });

/** The connection of a request: the session on HTTP/2, the socket on HTTP/1.1. */
export function connectionOf({ raw }: FastifyRequest): object | undefined {
  return "stream" in raw ? (raw.stream as ServerHttp2Stream).session : raw.socket;
}

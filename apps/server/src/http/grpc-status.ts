import type { IncomingHttpHeaders } from "node:http";
import { ConnectError, type Code } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";

/** As much of a request as is needed here. */
interface Call {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
}

/** Whether a request is a call over gRPC or gRPC-Web: its client looks for a gRPC status, not for an HTTP one. */
export function isGrpcCall({ method, headers }: Call, kind: "grpc" | "grpc-web"): boolean {
  const type = (headers["content-type"] ?? "").toLowerCase();
  return method === "POST" && (type === `application/${kind}` || type === `application/${kind}+proto`);
}

/**
 * Headers that answer a gRPC call that no handler will see, with HTTP status 200 and no body, as the protocol has it for such. A bare
 * HTTP status would be translated by each client in its own way, and its text would be lost.
 */
export function grpcStatus(kind: "grpc" | "grpc-web", code: Code, message: string): Record<string, string> {
  const status = new Headers();
  setTrailerStatus(status, new ConnectError(message, code));
  return { ...Object.fromEntries(status), "content-type": `application/${kind}+proto` };
}

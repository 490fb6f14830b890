import type { IncomingHttpHeaders } from "node:http";
import type { DescMethod } from "@bufbuild/protobuf";

const binary = new Set([
  "application/grpc-web",
  "application/grpc-web+proto",
  "application/proto",
  "application/connect+proto",
]);

/**
 * Takes the parameters from the content type of a binary RPC. They mean nothing there, but some clients and proxies add a charset to every
 * type, and the RPC library knows these types by their whole header.
 */
export function dropParameters(headers: IncomingHttpHeaders): void {
  const type = headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== undefined && binary.has(type)) headers["content-type"] = type;
}

/**
 * Tells whether an RPC on the operator listener may come with this content type. Binary always. JSON only for unary calls of the
 * Connect protocol, so that `curl` works, and never for `binaryOnly` methods: their answers hold stored bytes that a JSON encoder
 * would leave out. Parameters of a binary type are gone by then. Types that a form or a simple cross-site request can send are never in.
 */
export function isRpcContentType(
  header: string | undefined,
  method: DescMethod,
  binaryOnly: ReadonlySet<string>,
): boolean {
  const whole = (header ?? "").trim().toLowerCase();
  if (binary.has(whole)) return true;
  const [type] = whole.split(";", 1);
  return type?.trim() === "application/json" && method.methodKind === "unary" && !binaryOnly.has(procedureOf(method));
}

/** `package.Service/Method`. */
export function procedureOf(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

import { fromBinary, toBinary, type DescMethod, type DescService } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextValues,
  createMethodImplSpec,
  type Interceptor,
  type MethodImpl,
  type ServiceImpl,
} from "@connectrpc/connect";
import { invokeUnaryImplementation } from "@connectrpc/connect/protocol";
import { addressKey, callerKey } from "../auth/caller.ts";
import { connectionKey } from "../http/connection-key.ts";
import type { PlainPeer, PlainUnary } from "../http/plain-unary.ts";

/**
 * Unary methods of a service in the plain form of a call, with the interceptors that stand around them in the general machinery, the
 * outermost first. Headers and trailers that a handler sets are not sent; none of ours sets any. Throws if a method is not unary.
 */
export function plainCalls<Desc extends DescService, Name extends keyof Desc["method"] & string>(
  service: Desc,
  implementation: Pick<ServiceImpl<Desc>, Name>,
  names: readonly Name[],
  interceptors: readonly Interceptor[],
): PlainUnary[] {
  return names.map((name) => {
    const method: DescMethod | undefined = service.method[name];
    if (!method) throw new Error(`${service.typeName} has no method ${name}`);
    const spec = createMethodImplSpec(method, implementation[name] as MethodImpl<DescMethod>);
    if (spec.kind !== "unary") throw new Error(`${method.name} is not unary`);
    const path = `/${service.typeName}/${method.name}`;
    const contextOf = ({ caller, headers, connection, signal }: PlainPeer) => ({
      service,
      method,
      protocolName: "grpc",
      requestMethod: "POST",
      url: `http://signalbox${path}`,
      timeoutMs: () => undefined,
      signal,
      requestHeader: new Headers(
        Object.entries(headers).filter(
          (header): header is [string, string] => typeof header[1] === "string" && !header[0].startsWith(":"),
        ),
      ),
      responseHeader: new Headers(),
      responseTrailer: new Headers(),
      values: createContextValues()
        .set(callerKey, caller)
        .set(addressKey, caller.address)
        .set(connectionKey, connection),
    });
    return {
      path,
      answer: async (request, peer) => {
        const message = decode(method, request);
        return toBinary(
          method.output,
          await invokeUnaryImplementation(spec, contextOf(peer), message, [...interceptors]),
        );
      },
    };
  });
}

function decode({ input }: DescMethod, bytes: Uint8Array) {
  try {
    return fromBinary(input, bytes);
  } catch (error) {
    // As the general machinery has it.
    const words = error instanceof Error ? error.message : String(error);
    throw new ConnectError(words, Code.Internal, undefined, undefined, error);
  }
}

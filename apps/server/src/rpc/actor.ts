import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { ActorKind, ActorSchema, type Actor } from "@signalbox/protocol";
import { callerKey } from "../auth/caller.ts";

/** Who makes this call, as it is stored. Throws UNAUTHENTICATED if the listener did not say, which it always does. */
export function actorOf(context: HandlerContext): Actor {
  const caller = context.values.get(callerKey);
  if (!caller) throw new ConnectError("Nobody is signed in.", Code.Unauthenticated);
  return create(ActorSchema, {
    kind: caller.kind === "operator" ? ActorKind.OPERATOR : ActorKind.MACHINE,
    name: caller.name,
    address: caller.address,
  });
}

import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { ActorKind, ActorSchema, type Actor } from "@signalbox/protocol";
import { callerKey, type Caller } from "../auth/caller.ts";

/** Who makes this call, as it is stored. Throws UNAUTHENTICATED if the listener did not say, which it always does. */
export function actorOf(context: HandlerContext): Actor {
  const caller = context.values.get(callerKey);
  if (!caller) throw new ConnectError("Nobody is signed in.", Code.Unauthenticated);
  return actorOfCaller(caller);
}

/** A caller as it is stored. */
export function actorOfCaller({ kind, name, address }: Caller): Actor {
  return create(ActorSchema, { kind: kind === "operator" ? ActorKind.OPERATOR : ActorKind.MACHINE, name, address });
}

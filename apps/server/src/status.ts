import { Code } from "@connectrpc/connect";
import type { Refused, RefusalKind } from "./refused.ts";

const codes: Readonly<Record<RefusalKind, Code>> = {
  "not-found": Code.NotFound,
  invalid: Code.InvalidArgument,
  "wrong-state": Code.FailedPrecondition,
  stale: Code.Aborted,
  exists: Code.AlreadyExists,
  exhausted: Code.ResourceExhausted,
  silent: Code.DeadlineExceeded,
  unavailable: Code.Unavailable,
};

/** The gRPC status code of a refusal. */
export function statusOf(refused: Refused): Code {
  return codes[refused.kind];
}

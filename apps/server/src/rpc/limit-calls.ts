import { create } from "@bufbuild/protobuf";
import { createContextKey, type ServiceImpl } from "@connectrpc/connect";
import { ListLimitsResponseSchema, SetLimitResponseSchema, type JobService, type Limit } from "@signalbox/protocol";
import type { Dispatch } from "../jobs/dispatch.ts";
import type { Limits } from "../jobs/limits.ts";
import { actorOf } from "./actor.ts";

/** What a limit was before the call that set it. */
export const limitBeforeKey = createContextKey<Limit | undefined>(undefined, { description: "limit before" });

/** The calls of the job service that say how many jobs may run at the same time. */
export function limitCalls(
  limits: Limits,
  dispatch: Dispatch,
): Pick<ServiceImpl<typeof JobService>, "listLimits" | "setLimit"> {
  return {
    listLimits() {
      return create(ListLimitsResponseSchema, { limits: dispatch.limitUses() });
    },

    async setLimit(request, context) {
      context.values.set(limitBeforeKey, await limits.set(request, actorOf(context)));
      return create(SetLimitResponseSchema, { limits: dispatch.limitUses() });
    },
  };
}

import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { ListLimitsResponseSchema, SetLimitResponseSchema, type JobService } from "@signalbox/protocol";
import type { Dispatch } from "../jobs/dispatch.ts";
import type { Limits } from "../jobs/limits.ts";
import { actorOf } from "./actor.ts";

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
      await limits.set(request, actorOf(context));
      return create(SetLimitResponseSchema, { limits: dispatch.limitUses() });
    },
  };
}

import { create } from "@bufbuild/protobuf";
import { JobTypeSchema, type JobType } from "@signalbox/protocol";
import { deadlineOf, retryPolicyOf } from "./job-policy.ts";
import type { JobDefinition } from "./job.ts";
import { defaultLevers } from "./levers.ts";

/** What the server is told of a job type. */
export function jobTypeOf(definition: JobDefinition<never>): JobType {
  const { type, description = "", parameters, levers = defaultLevers, itemNoun = "" } = definition;
  const { defaultItemsPerSecond, input = false, pinned = false, exclusive = false } = definition;
  const { mostRunning = 0, retry, deadline, systemStop = false } = definition;
  return create(JobTypeSchema, {
    name: type,
    description,
    ...(parameters ? { parametersSchema: parameters } : {}),
    levers: [...levers],
    itemNoun,
    ...(defaultItemsPerSecond === undefined ? {} : { defaultItemsPerSecond }),
    takesInput: input,
    pinned,
    exclusive,
    mostRunning,
    ...(retry ? { retry: retryPolicyOf(retry) } : {}),
    ...(deadline ? { deadline: deadlineOf(deadline) } : {}),
    systemStop,
  });
}

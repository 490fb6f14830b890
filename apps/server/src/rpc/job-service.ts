import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  GetJobResponseSchema,
  LeverValueSchema,
  ListJobsResponseSchema,
  ListJobTypesResponseSchema,
  RetryJobResponseSchema,
  RetrySchema,
  SendCommandResponseSchema,
  SendInputResponseSchema,
  StartJobResponseSchema,
  type Command,
  type JobService,
  type JobType,
} from "@signalbox/protocol";
import { foldRetry } from "../jobs/job-fold.ts";
import { retryBody } from "../jobs/request-ids.ts";
import type { Inputs } from "../jobs/inputs.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { checkLeverOfType, leverOf } from "../jobs/levers.ts";
import { listJobs } from "../jobs/list-jobs.ts";
import { checkParameters } from "../jobs/parameters.ts";
import { Refused } from "../refused.ts";
import type { Workers } from "../workers/workers.ts";
import { actorOf } from "./actor.ts";

/** The service that operators and programs call to start and steer jobs. */
export function jobService(jobs: Jobs, workers: Workers, inputs: Inputs): Partial<ServiceImpl<typeof JobService>> {
  return {
    async startJob(request, context) {
      const job = await jobs.start(request, workers.jobType(request.type), actorOf(context));
      return create(StartJobResponseSchema, { job });
    },

    listJobTypes() {
      return create(ListJobTypesResponseSchema, { types: workers.offeredTypes() });
    },

    listJobs(request) {
      const { records, nextPageToken } = listJobs(jobs.all(), request);
      const vitals = records.flatMap(({ id, vitals }) => jobs.vitals.get(id) ?? vitals ?? []);
      return create(ListJobsResponseSchema, { jobs: records, vitals, nextPageToken });
    },

    getJob({ jobId }) {
      const { record } = jobs.get(jobId);
      const vitals = jobs.vitals.get(jobId) ?? record.vitals;
      return create(GetJobResponseSchema, { job: record, ...(vitals ? { vitals } : {}) });
    },

    async sendCommand({ jobId, command, requestId }, context) {
      if (!command) throw new Refused("invalid", "The request has no command.");
      checkRequestId(requestId);
      const job = jobs.get(jobId);
      const { record, generation } = await job.command(
        { ...command, generation: 0n },
        actorOf(context),
        requestId,
        (before) => checkAction(command.action, workers.jobType(before.type)),
      );
      return create(SendCommandResponseSchema, { job: record, generation });
    },

    async retryJob({ jobId, parameters, requestId }, context) {
      checkRequestId(requestId);
      const job = jobs.get(jobId);
      const type = workers.jobType(job.record.type);
      const checked = parameters && (type ? checkParameters(type, parameters) : parameters);
      const value =
        checked && create(LeverValueSchema, { value: { case: "parameters", value: { parameters: checked } } });
      const actor = actorOf(context);
      const cause = create(RetrySchema, { parametersChanged: value !== undefined });
      const record = await job.once(requestId, actor, retryBody(value), (before, now) => ({
        cause: { case: "retry", value: cause },
        record: foldRetry(before, value, now),
      }));
      return create(RetryJobResponseSchema, { job: record });
    },

    async sendInput(request, context) {
      const job = jobs.get(request.jobId);
      const takesInput = workers.jobType(job.record.type)?.takesInput ?? false;
      const { attempt, end } = await inputs.send(job, takesInput, request, actorOf(context), context.signal);
      return create(SendInputResponseSchema, { attempt, nextOffset: BigInt(end) });
    },
  };
}

/** Throws Refused unless jobs of the type can obey: the lever is theirs, and parameters fit the schema. */
function checkAction(action: Command["action"], type: JobType | undefined): void {
  if (action.case !== "set" || !type) return;
  checkLeverOfType(type, leverOf(action.value), "wrong-state");
  const { value } = action.value;
  if (value.case === "parameters" && value.value.parameters) checkParameters(type, value.value.parameters);
}

function checkRequestId(requestId: string): void {
  if (requestId.length < 1 || requestId.length > 100)
    throw new Refused("invalid", `request_id has ${requestId.length} characters, not 1 to 100.`);
}

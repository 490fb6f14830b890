import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  DrainWorkerResponseSchema,
  GetJobResponseSchema,
  LeverValueSchema,
  ListJobsResponseSchema,
  ListJobTypesResponseSchema,
  ListWorkersResponseSchema,
  RetryJobResponseSchema,
  RetrySchema,
  SendCommandResponseSchema,
  SendInputResponseSchema,
  StartJobResponseSchema,
  UndrainWorkerResponseSchema,
  type JobRecord,
  type JobService,
} from "@signalbox/protocol";
import { checkCommand, plainCommand } from "../jobs/check-command.ts";
import { foldRetry } from "../jobs/job-fold.ts";
import { retryBody } from "../jobs/request-ids.ts";
import type { Inputs } from "../jobs/inputs.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { listJobs } from "../jobs/list-jobs.ts";
import { checkParameters } from "../jobs/parameters.ts";
import { checkRetry } from "../jobs/only-worker.ts";
import { Refused } from "../refused.ts";
import type { Workers } from "../workers/workers.ts";
import { actorOf } from "./actor.ts";

/** The service that operators and programs call to start and steer jobs. */
export function jobService(jobs: Jobs, workers: Workers, inputs: Inputs): ServiceImpl<typeof JobService> {
  return {
    async startJob(request, context) {
      const type = workers.jobType(request.type);
      const job = await jobs.start(request, type, actorOf(context), (workerId) => workers.isKnown(workerId));
      return create(StartJobResponseSchema, { job });
    },

    listJobTypes() {
      return create(ListJobTypesResponseSchema, { types: [...workers.offered.types] });
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
      const type = workers.jobType(job.record.type);
      const plain = plainCommand(command, type);
      const check = (before: JobRecord) => checkCommand(plain, before, type);
      const { record, generation } = await job.command(plain, actorOf(context), requestId, check);
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
      const record = await job.once(requestId, actor, retryBody(value), (before, now) => {
        checkRetry(before, (workerId) => workers.isConnected(workerId));
        return { cause: { case: "retry", value: cause }, record: foldRetry(before, value, now) };
      });
      return create(RetryJobResponseSchema, { job: record });
    },

    async sendInput(request, context) {
      const job = jobs.get(request.jobId);
      const takesInput = workers.jobType(job.record.type)?.takesInput ?? false;
      const { attempt, end } = await inputs.send(job, takesInput, request, actorOf(context), context.signal);
      return create(SendInputResponseSchema, { attempt, nextOffset: BigInt(end) });
    },

    listWorkers() {
      return create(ListWorkersResponseSchema, { workers: workers.records(), vitals: workers.board.list() });
    },

    async drainWorker({ workerId, stop, reason }, context) {
      const actor = actorOf(context);
      const worker = stop ? workers.stop(workerId, reason) : await workers.drain(workerId, reason, actor);
      return create(DrainWorkerResponseSchema, { worker });
    },

    async undrainWorker({ workerId }) {
      return create(UndrainWorkerResponseSchema, { worker: await workers.undrain(workerId) });
    },
  };
}

function checkRequestId(requestId: string): void {
  if (requestId.length < 1 || requestId.length > 100)
    throw new Refused("invalid", `request_id has ${requestId.length} characters, not 1 to 100.`);
}

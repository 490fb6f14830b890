import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  addRawMessages,
  CancelJobResponseSchema,
  CommandSchema,
  DrainWorkerResponseSchema,
  GetJobResponseSchema,
  ListJobsResponseSchema,
  ListJobTypesResponseSchema,
  ListWorkersResponseSchema,
  RetryJobResponseSchema,
  RunMode,
  SendCommandResponseSchema,
  SendInputResponseSchema,
  StartJobResponseSchema,
  UndrainWorkerResponseSchema,
  type JobService,
} from "@signalbox/protocol";
import type { Inputs } from "../jobs/inputs.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { listJobs } from "../jobs/list-jobs.ts";
import type { Steering } from "../jobs/steering.ts";
import { defaultGraceMs } from "../live/console/console-commands.ts";
import type { Workers } from "../workers/workers.ts";
import { actorOf } from "./actor.ts";

/** Number of `SendCommandResponse.job`. */
const commandedJobField = 1;

/** The service that operators and programs call to start and steer jobs. */
export function jobService(
  jobs: Jobs,
  workers: Workers,
  inputs: Inputs,
  steering: Steering,
): Omit<ServiceImpl<typeof JobService>, "startJobAndWatch" | "watchJobs" | "listLimits" | "setLimit"> {
  return {
    async startJob(request, context) {
      return create(StartJobResponseSchema, { job: await steering.start(request, actorOf(context)) });
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
      const { record, generation } = await steering.command(jobId, command, requestId, actorOf(context));
      const response = create(SendCommandResponseSchema, { generation });
      const job = jobs.get(jobId);
      if (job.record === record) addRawMessages(response, commandedJobField, [job.encodedRecord]);
      else response.job = record;
      return response;
    },

    async cancelJob({ jobId, requestId, graceMs = defaultGraceMs, reason }, context) {
      const run = { mode: RunMode.CANCEL, graceMs, reason };
      const command = create(CommandSchema, {
        action: { case: "set", value: { value: { case: "run", value: run } } },
      });
      const { record } = await steering.command(jobId, command, requestId || randomUUID(), actorOf(context));
      return create(CancelJobResponseSchema, { job: record });
    },

    async retryJob(request, context) {
      return create(RetryJobResponseSchema, { job: await steering.retry(request, actorOf(context)) });
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

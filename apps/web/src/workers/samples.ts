import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  JobState,
  WorkerLinkState,
  WorkerRecordSchema,
  WorkerVitalsSchema,
  type WorkerRecord,
  type WorkerVitals,
} from "@signalbox/protocol";

type RecordInit = Exclude<MessageInitShape<typeof WorkerRecordSchema>, WorkerRecord>;
type VitalsInit = Exclude<MessageInitShape<typeof WorkerVitalsSchema>, WorkerVitals>;

/** Records for tests: a worker with two slots that offers `index` and connected a minute after the epoch. */
export function workerRecord(init: RecordInit = {}): WorkerRecord {
  return create(WorkerRecordSchema, {
    workerId: "box-1",
    incarnation: "process-1",
    epoch: 1n,
    agent: "signalbox-node/0.1.0",
    jobTypes: ["index"],
    slots: 2,
    connectedAtUs: 60_000_000n,
    ...init,
  });
}

/** Vitals for tests: a connected worker that was heard at `heardMs`. */
export function workerVitals(heardMs: number, init: VitalsInit = {}): WorkerVitals {
  return create(WorkerVitalsSchema, {
    workerId: "box-1",
    connected: true,
    link: {
      state: WorkerLinkState.CONNECTED,
      heardAtUs: BigInt(heardMs * 1000),
      roundTripUs: 2_100,
      bufferedBytes: 0n,
    },
    ...init,
  });
}

/** A running attempt of a job of type `index`, as a worker's vitals name it. */
export function attemptOf(jobId: string, state: JobState = JobState.RUNNING, attempt = 1) {
  return { jobId, attempt, name: jobId, type: "index", state };
}

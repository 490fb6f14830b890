import { enumToJson, toJson, type DescEnum, type JsonObject } from "@bufbuild/protobuf";
import {
  JobRecordSchema,
  OfferedJobTypeSchema,
  ReceiptSchema,
  VitalsSchema,
  WorkerRecordSchema,
  WorkerVitalsSchema,
  type OfferedJobType,
  type Receipt,
  type WorkerRecord,
  type WorkerVitals,
} from "@signalbox/protocol";
import type { FoundJob } from "./resolve-job.ts";

// What --json prints: messages of the contract in protobuf's own JSON form, so that names and values are those of the contract.

/** A `JobRecord` with its newest `vitals`. */
export function jobJson({ job, vitals }: FoundJob): JsonObject {
  const json = toJson(JobRecordSchema, job) as JsonObject;
  return vitals ? { ...json, vitals: toJson(VitalsSchema, vitals) } : json;
}

/** A `WorkerRecord` with its newest `vitals`, a `WorkerVitals`. */
export function workerJson(worker: WorkerRecord, vitals: WorkerVitals | undefined): JsonObject {
  const json = toJson(WorkerRecordSchema, worker) as JsonObject;
  return vitals ? { ...json, vitals: toJson(WorkerVitalsSchema, vitals) } : json;
}

/** An `OfferedJobType`. */
export function typeJson(type: OfferedJobType): JsonObject {
  return toJson(OfferedJobTypeSchema, type) as JsonObject;
}

/** A `Receipt`. */
export function receiptJson(receipt: Receipt): JsonObject {
  return toJson(ReceiptSchema, receipt) as JsonObject;
}

/** The contract's name of an enum's value: `LEVEL_INFO`. */
export function enumName(desc: DescEnum, value: number): string {
  return String(enumToJson(desc, value));
}

/** The same in a word for people: `given up`. */
export function enumWord(desc: DescEnum, value: number): string {
  return enumName(desc, value)
    .slice(desc.sharedPrefix?.length ?? 0)
    .toLowerCase()
    .replaceAll("_", " ");
}

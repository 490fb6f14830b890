import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { JobRecordSchema, LeverValueSchema, RunMode, type JobRecord } from "@signalbox/protocol";

/** Records for tests: a job named and typed, created a minute after the epoch, with what the test says of it. */
export function jobRecord(init: Exclude<MessageInitShape<typeof JobRecordSchema>, JobRecord> = {}): JobRecord {
  return create(JobRecordSchema, {
    id: "j-1",
    name: "docs-index",
    type: "index",
    createdAtUs: 60_000_000n,
    spec: { generation: 1n, levers: [{ generation: 1n, value: runValue(RunMode.RUN) }] },
    ...init,
  });
}

/** A run lever's value. */
export function runValue(mode: RunMode) {
  return create(LeverValueSchema, { value: { case: "run", value: { mode } } });
}

/** A speed lever's value; undefined is unlimited. */
export function speedValue(itemsPerSecond?: number) {
  return create(LeverValueSchema, {
    value: { case: "speed", value: itemsPerSecond === undefined ? {} : { itemsPerSecond } },
  });
}

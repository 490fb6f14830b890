import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { WorkerLeaseSchema, WorkerRecordSchema, type WorkerLease, type WorkerRecord } from "@signalbox/protocol";
import type { TableRecord } from "../store/store.ts";

/** A worker as operators see it: its lease, without the schemas of its job types. */
export function workerRecord(workerId: string, { incarnation, epoch, hello, ...lease }: WorkerLease): WorkerRecord {
  return create(WorkerRecordSchema, {
    workerId,
    incarnation,
    epoch,
    agent: hello?.agent ?? "",
    jobTypes: hello?.jobTypes.map(({ name }) => name).sort() ?? [],
    slots: hello?.slots ?? 0,
    labels: hello?.labels ?? {},
    metadata: hello?.metadata ?? {},
    connectedAtUs: lease.connectedAtUs,
    leftAtUs: lease.leftAtUs,
    transient: hello?.transient ?? false,
    ...(lease.drain ? { drain: lease.drain } : {}),
  });
}

/** Records as they travel, made once from each stored lease, however many watch. */
export class EncodedRecords {
  readonly #byName = new Map<string, { readonly revision: number; readonly encoded: Uint8Array }>();

  /** The encoded record of a stored lease; undefined if the name is forgotten. */
  of({ key, revision, data }: TableRecord): Uint8Array | undefined {
    if (!data) {
      this.#byName.delete(key);
      return undefined;
    }
    const known = this.#byName.get(key);
    if (known?.revision === revision) return known.encoded;
    const encoded = toBinary(WorkerRecordSchema, workerRecord(key, fromBinary(WorkerLeaseSchema, data)));
    if (!known || revision > known.revision) this.#byName.set(key, { revision, encoded });
    return encoded;
  }
}

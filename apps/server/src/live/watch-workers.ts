import { create } from "@bufbuild/protobuf";
import {
  addRawMessages,
  WorkerRecordsSchema,
  WorkerVitalsBatchSchema,
  type Subscription,
  type WatchResponse,
} from "@signalbox/protocol";
import { pause } from "../pause.ts";
import { workersTable } from "../workers/worker-names.ts";
import type { LiveParts } from "./live-parts.ts";
import { step } from "./step.ts";
import { watchTable } from "./watch-table.ts";

const recordsField = 1;
const vitalsField = 1;
const everyMs = 250;
/** With more workers a message could be larger than messages may be. */
const batchWorkers = 1_000;

/** Follows the newest record of every worker. Each stored lease is made into a record once, however many watch. */
export function watchWorkers(
  parts: LiveParts,
  subscription: Subscription,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const { revision, encodedRecords } = parts.workers;
  const message = (records: readonly Uint8Array[], gone: string[]): WatchResponse["message"] => {
    const value = create(WorkerRecordsSchema, { gone });
    addRawMessages(value, recordsField, records);
    return { case: "workers", value };
  };
  const encode = encodedRecords.of.bind(encodedRecords);
  return watchTable(parts, subscription, { name: workersTable, revision, encode, message }, signal);
}

/** Follows how workers are heard and what they run, within 250 ms. */
export async function* watchWorkerVitals(
  parts: LiveParts,
  subscriptionId: string,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const { board } = parts.workers;
  let seen = 0;
  while (!signal.aborted) {
    const changed = board.changedSince(seen);
    seen = board.version;
    for (let from = 0; from < changed.length; from += batchWorkers) {
      const value = create(WorkerVitalsBatchSchema);
      addRawMessages(value, vitalsField, changed.slice(from, from + batchWorkers));
      yield step(subscriptionId, { case: "workerVitals", value });
    }
    await pause(everyMs, signal);
  }
}

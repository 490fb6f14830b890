import { create } from "@bufbuild/protobuf";
import {
  addRawMessages,
  JobRecordsSchema,
  JobTypesSchema,
  type Subscription,
  type WatchResponse,
} from "@signalbox/protocol";
import { jobsTable } from "../jobs/jobs.ts";
import { pause } from "../pause.ts";
import type { LiveParts } from "./live-parts.ts";
import { step } from "./step.ts";
import { watchTable } from "./watch-table.ts";

const recordsField = 1;
const typesField = 1;
const typesEveryMs = 250;

/** Follows the newest record of every job. Records go out as they are stored. */
export function watchJobs(
  parts: LiveParts,
  subscription: Subscription,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const message = (records: readonly Uint8Array[], gone: string[]): WatchResponse["message"] => {
    const value = create(JobRecordsSchema, { gone });
    addRawMessages(value, recordsField, records);
    return { case: "records", value };
  };
  const { revision } = parts.jobs;
  return watchTable(parts, subscription, { name: jobsTable, revision, encode: ({ data }) => data, message }, signal);
}

/** Follows the offered job types: now, and whenever they change. They are made and encoded once, however many watch. */
export async function* watchJobTypes(
  parts: LiveParts,
  subscription: Subscription,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  let seen = 0;
  while (!signal.aborted) {
    if (parts.workers.typesVersion !== seen) {
      const { version, encoded } = parts.workers.offered;
      seen = version;
      const value = create(JobTypesSchema);
      addRawMessages(value, typesField, encoded);
      yield step(subscription.id, { case: "jobTypes", value });
    }
    await pause(typesEveryMs, signal);
  }
}

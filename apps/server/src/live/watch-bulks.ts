import { create } from "@bufbuild/protobuf";
import { addRawMessages, BulkRecordsSchema, type Subscription, type WatchResponse } from "@signalbox/protocol";
import { bulksTable } from "../bulk/bulks.ts";
import type { LiveParts } from "./live-parts.ts";
import { watchTable } from "./watch-table.ts";

const recordsField = 1;

/** Follows the newest record of each of the commands to many that are listed. Records go out as they are stored. */
export function watchBulks(
  parts: LiveParts,
  subscription: Subscription,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const message = (records: readonly Uint8Array[], gone: string[]): WatchResponse["message"] => {
    const value = create(BulkRecordsSchema, { gone });
    addRawMessages(value, recordsField, records);
    return { case: "bulks", value };
  };
  const { revision } = parts.bulks;
  return watchTable(parts, subscription, { name: bulksTable, revision, encode: ({ data }) => data, message }, signal);
}

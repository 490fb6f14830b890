import { create } from "@bufbuild/protobuf";
import { WatchResponseSchema, type WatchResponse } from "@signalbox/protocol";

/** One message of a subscription, and the cursor that it reaches. */
export function step(subscriptionId: string, message: WatchResponse["message"], cursor?: Uint8Array): WatchResponse {
  return create(WatchResponseSchema, { subscriptionId, message, ...(cursor ? { cursor } : {}) });
}

import type { WatchResponse } from "@signalbox/protocol";
import type { LiveParts } from "./live-parts.ts";
import { step } from "./step.ts";

/** Follows what jobs print: what is known of the last minutes at once, then what changed, once a bucket. */
export async function* watchTrends(
  parts: LiveParts,
  subscriptionId: string,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  for await (const value of parts.trends.follow(signal)) yield step(subscriptionId, { case: "trends", value });
}

import type { ServiceImpl } from "@connectrpc/connect";
import type { JobService, StartJobAndWatchRequest, StartJobAndWatchResponse } from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import { connectionKey } from "../http/connection-key.ts";
import type { Steering } from "../jobs/steering.ts";
import { followJob } from "../live/follow-job.ts";
import type { LiveParts } from "../live/live-parts.ts";
import type { OpenWatches } from "../live/open-watches.ts";
import { watchAllJobs } from "../live/watch-all-jobs.ts";
import { heartbeats } from "../live/watch.ts";
import { Refused } from "../refused.ts";
import { actorOf } from "./actor.ts";

/** What these streams are served with. */
export interface JobStreamsParts {
  readonly live: LiveParts;
  readonly steering: Steering;
  readonly open: OpenWatches;
  readonly clock: Clock;
}

/** The streams of the job service, for clients that need no more than these. */
export function jobStreams({
  live,
  steering,
  open,
  clock,
}: JobStreamsParts): Pick<ServiceImpl<typeof JobService>, "startJobAndWatch" | "watchJobs"> {
  const beats = (signal: AbortSignal) => heartbeats(live.store.health, clock, signal);

  async function* startJobAndWatch(
    { job: request, withLog }: StartJobAndWatchRequest,
    start: (request: NonNullable<StartJobAndWatchRequest["job"]>) => Promise<{ id: string }>,
    signal: AbortSignal,
  ): AsyncGenerator<StartJobAndWatchResponse> {
    if (!request) throw new Refused("invalid", "The request has no job.");
    const { id } = await start(request);
    yield* followJob(live, live.jobs.get(id), withLog, beats, signal);
  }

  return {
    startJobAndWatch: (request, context) =>
      open.count(
        context.values.get(connectionKey),
        2,
        startJobAndWatch(request, (job) => steering.start(job, actorOf(context)), context.signal),
        context.signal,
      ),
    watchJobs: ({ cursor }, { values, signal }) =>
      open.count(values.get(connectionKey), 1, watchAllJobs(live, cursor, beats, signal), signal),
  };
}

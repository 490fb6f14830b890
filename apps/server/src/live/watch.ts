import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  StoreState,
  SubscriptionErrorSchema,
  WatchHeartbeatSchema,
  WatchHelloSchema,
  type StoreHealthSchema,
  type Subscription,
  type WatchRequest,
  type WatchResponse,
} from "@signalbox/protocol";
import type { Clock } from "../clock.ts";
import { Refused } from "../refused.ts";
import { statusOf } from "../status.ts";
import type { LiveParts } from "./live-parts.ts";
import { merge } from "./merge.ts";
import type { HealthView } from "../store/health.ts";
import { step } from "./step.ts";
import { watchBulks } from "./watch-bulks.ts";
import { watchAudit } from "./watch-audit.ts";
import { watchJob } from "./watch-job.ts";
import { watchJobs, watchJobTypes } from "./watch-jobs.ts";
import { watchLog } from "./watch-log.ts";
import { watchTrends } from "./watch-trends.ts";
import { watchVitals } from "./watch-vitals.ts";
import { watchWorkers, watchWorkerVitals } from "./watch-workers.ts";

const mostSubscriptions = 32;
const longestId = 100;
const heartbeatEveryMs = 5_000;

/** Follows a list of subscriptions: hello at once, heartbeats, and what each has to say. One that fails ends alone. Throws Refused. */
export async function* watch(
  parts: LiveParts,
  request: WatchRequest,
  serverVersion: string,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  checkRequest(request);
  yield step("", {
    case: "hello",
    value: create(WatchHelloSchema, {
      ...{ storeId: parts.store.id, serverVersion, serverTimeUs: BigInt(clock()) },
      store: storeHealth(parts.store.health),
    }),
  });
  yield* merge(
    (stop) => [
      heartbeats(parts.store.health, clock, stop),
      ...request.subscriptions.flatMap((each) => sourcesOf(parts, each, stop)),
    ],
    signal,
  );
}

function sourcesOf(parts: LiveParts, subscription: Subscription, signal: AbortSignal): AsyncGenerator<WatchResponse>[] {
  const { kind, id } = subscription;
  const guard = (source: AsyncGenerator<WatchResponse>) => untilRefused(id, source);
  switch (kind.case) {
    case "jobs": {
      const sources = inTurn(watchJobs(parts, subscription, signal), watchVitals(parts, id, undefined, signal));
      if (kind.value.withJobTypes) sources.push(watchJobTypes(parts, subscription, signal));
      if (kind.value.withTrends) sources.push(watchTrends(parts, id, signal));
      return sources.map(guard);
    }
    case "job":
      return [watchJob(parts, subscription, kind.value, signal), watchVitals(parts, id, kind.value.jobId, signal)].map(
        guard,
      );
    case "log":
      return [guard(watchLog(parts, subscription, kind.value, signal))];
    case "workers":
      return [watchWorkers(parts, subscription, signal), watchWorkerVitals(parts, id, signal)].map(guard);
    case "bulks":
      return [guard(watchBulks(parts, subscription, signal))];
    case "audit":
      return [guard(watchAudit(parts, subscription, kind.value, signal))];
    case undefined:
      throw new Refused("invalid", `Subscription '${id}' does not say what to follow: jobs, job, log or workers.`);
  }
}

/** The second begins when the first has said something: of a long list the first rows come before the vitals of all. */
function inTurn<T>(first: AsyncGenerator<T>, second: AsyncGenerator<T>): AsyncGenerator<T>[] {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const noted = async function* () {
    try {
      for await (const each of first) {
        begin();
        yield each;
      }
    } finally {
      begin();
    }
  };
  const waiting = async function* () {
    await begun;
    yield* second;
  };
  return [noted(), waiting()];
}

/** A refusal ends the subscription that it concerns, with a message, and no other. */
async function* untilRefused(id: string, source: AsyncGenerator<WatchResponse>): AsyncGenerator<WatchResponse> {
  try {
    yield* source;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    yield step(id, {
      case: "error",
      value: create(SubscriptionErrorSchema, { code: statusOf(error), message: error.message }),
    });
  }
}

/** One every 5 s, and one at once when the health of the store changes. */
export async function* heartbeats(
  health: HealthView,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  for (let told = health.current; ;) {
    await health.change(told, signal, heartbeatEveryMs);
    if (signal.aborted) return;
    told = health.current;
    const value = create(WatchHeartbeatSchema, { serverTimeUs: BigInt(clock()), store: storeHealth(health) });
    yield step("", { case: "heartbeat", value });
  }
}

const states = { ok: StoreState.OK, low: StoreState.LOW, full: StoreState.FULL } as const;

function storeHealth({ current, freeBytes }: HealthView): MessageInitShape<typeof StoreHealthSchema> {
  return {
    ...{ state: states[current.state], detail: current.detail, sinceUs: BigInt(current.sinceUs) },
    ...(freeBytes === undefined ? {} : { freeBytes: BigInt(freeBytes) }),
  };
}

function checkRequest({ subscriptions }: WatchRequest): void {
  if (subscriptions.length < 1 || subscriptions.length > mostSubscriptions) {
    throw new Refused("invalid", `A watch has 1 to ${mostSubscriptions} subscriptions, not ${subscriptions.length}.`);
  }
  const ids = new Set<string>();
  for (const { id, kind } of subscriptions) {
    if (id.length < 1 || id.length > longestId)
      throw new Refused("invalid", `A subscription's id has 1 to ${longestId} characters, not ${id.length}.`);
    if (ids.has(id)) throw new Refused("invalid", `Two subscriptions have the id '${id}'.`);
    if (!kind.case)
      throw new Refused("invalid", `Subscription '${id}' does not say what to follow: jobs, job, log or workers.`);
    ids.add(id);
  }
}

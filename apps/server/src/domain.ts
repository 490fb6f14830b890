import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import {
  AuditService,
  BulkService,
  JobService,
  LiveService,
  LogService,
  RunService,
  StartJobRequestSchema,
  WorkerService,
  type WatchRequest,
} from "@signalbox/protocol";
import type { Registry } from "prom-client";
import { Bulks } from "./bulk/bulks.ts";
import type { AuditLog } from "./audit/audit-log.ts";
import { Audit } from "./audit/audit.ts";
import { toAuditRow } from "./audit/row.ts";
import { systemClock, type Clock } from "./clock.ts";
import { addDomainMetrics } from "./domain-metrics.ts";
import type { ReadAudit } from "./http/audit-export.ts";
import { connectionKey } from "./http/connection-key.ts";
import { Deadlines } from "./jobs/deadlines.ts";
import { Dispatch, serverActor } from "./jobs/dispatch.ts";
import { Inputs } from "./jobs/inputs.ts";
import { Jobs } from "./jobs/jobs.ts";
import { Limits } from "./jobs/limits.ts";
import { Proofs } from "./jobs/proofs.ts";
import { Steering } from "./jobs/steering.ts";
import { Consoles } from "./live/console/consoles.ts";
import { Cursors } from "./live/cursors.ts";
import { TableReaders } from "./live/table-readers.ts";
import { Turns } from "./live/turns.ts";
import { Trends } from "./jobs/trends.ts";
import type { LiveParts } from "./live/live-parts.ts";
import { OpenWatches } from "./live/open-watches.ts";
import { watch } from "./live/watch.ts";
import type { Logger } from "./logger.ts";
import { Logs } from "./logs/logs.ts";
import { Refused } from "./refused.ts";
import { auditCalls } from "./rpc/audit-calls.ts";
import { auditService } from "./rpc/audit-service.ts";
import { bulkService } from "./rpc/bulk-service.ts";
import { jobService } from "./rpc/job-service.ts";
import { jobStreams } from "./rpc/job-streams.ts";
import { limitCalls } from "./rpc/limit-calls.ts";
import { logService } from "./rpc/log-service.ts";
import type { PlainMethod } from "./http/plain-stream.ts";
import type { PlainUnary } from "./http/plain-unary.ts";
import type { PlainWebStream, WebPeer } from "./http/plain-web-stream.ts";
import { plainCalls } from "./rpc/plain-calls.ts";
import { plainConnect } from "./rpc/plain-connect.ts";
import { plainPushLogs } from "./rpc/plain-push-logs.ts";
import { plainWatch } from "./rpc/plain-watch.ts";
import { refusalsOf, runService } from "./rpc/run-service.ts";
import { workerService } from "./rpc/worker-service.ts";
import type { StoreHealth } from "./store/health.ts";
import type { Store } from "./store/store.ts";
import { IngestBudget } from "./workers/ingest-budget.ts";
import { LogIngest } from "./workers/log-ingest.ts";
import { Workers } from "./workers/workers.ts";

/** How often leases, deadlines and rates are looked at. */
const lookEveryMs = 500;
/** What is received must be stored and acknowledged so soon when the server stops, milliseconds; what is not, workers send again. */
const flushMs = 2_000;
/** Consoles of all clients together, and of one connection: one program may watch many jobs. */
const mostConsoles = 1_024;
const mostConsolesEach = 256;

/** What a domain is made of. */
export interface DomainOptions {
  readonly store: Store;
  readonly logger: Logger;
  readonly serverVersion: string;
  readonly clock?: Clock;
  /** Milliseconds that only rise: what leases are measured on. */
  readonly monotonic?: () => number;
}

/** Jobs, logs, workers and watchers over one store: everything between the listeners and the disk. */
export interface Domain {
  readonly jobs: Jobs;
  readonly workers: Workers;
  readonly inputs: Inputs;
  /** Takes what belongs to no job: sign-ins, wrong tokens. */
  readonly auditLog: AuditLog;
  /** Tells the audit of calls; inside of what turns refusals into status codes. */
  readonly auditCalls: Interceptor;
  /** The rows of the audit view that fit, newest first. Throws Refused. */
  readonly readAudit: ReadAudit;
  /** Registers what operators and machine clients may call. */
  readonly operatorRoutes: (router: ConnectRouter) => void;
  /** Registers what workers may call, and machine clients over gRPC. */
  readonly workerRoutes: (router: ConnectRouter) => void;
  /** Watch, for a listener of browsers that serves its plain calls without the router. */
  readonly plainWatch: PlainWebStream;
  /** PushLogs, for a listener that serves its plain calls without the router. */
  readonly plainPushLogs: PlainMethod;
  /** The same for Connect. */
  readonly plainConnect: PlainMethod;
  /** The same for the calls by which programs start and steer jobs, with what stands around them. */
  readonly plainCalls: (interceptors: readonly Interceptor[]) => PlainUnary[];
  /** The exact bytes of an attempt's log, or of its late evidence; undefined if there is no such job or attempt. */
  readonly readLog: (
    jobId: string,
    attempt: number,
    signal: AbortSignal,
    late: boolean,
  ) => Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Adds the domain's figures to `/metrics`. */
  readonly addMetrics: (registry: Registry) => void;
  /** Starts a job of `type` if the store has none at all. */
  readonly startFirstJob: (type: string, name: string) => Promise<void>;
  /** Assigns nothing more and takes no more workers. */
  readonly beginDrain: () => void;
  /** Takes no more lines, and acknowledges those that it has, as far as that is possible within two seconds. */
  readonly flushLines: () => Promise<void>;
  /** Ends timers; resolves when nothing of the domain's own is under way. The store is closed by whoever opened it. */
  readonly close: () => Promise<void>;
}

/** Opens the domain: reads jobs and workers, and begins to look at leases and deadlines. */
export async function openDomain({
  store,
  logger,
  serverVersion,
  clock = systemClock,
  monotonic = () => performance.now(),
}: DomainOptions): Promise<Domain> {
  const jobs = await Jobs.open(store, logger, clock);
  const audit = new Audit({ store, jobs, logger, clock });
  const inputs = await Inputs.open({ journal: store.journal, jobs, logger, clock });
  const trends = new Trends(jobs, clock());
  const logs = new Logs(store.journal, clock);
  const ingest = new LogIngest(jobs, logs, new IngestBudget());
  // Nothing is pulled that could not be stored anyway.
  const storeChanged = ({ state }: StoreHealth) => ingest.budget.hold(state === "full");
  store.health.onChange(storeChanged);
  storeChanged(store.health.current);
  const workers = await Workers.open({ store, jobs, logs, ingest, logger, clock, monotonic });
  const limits = await Limits.open(store, workers, clock);
  const dispatch = new Dispatch({ jobs, candidates: () => workers.candidates(), limits, logger });
  const deadlines = new Deadlines(jobs, logger);
  const proofs = new Proofs(jobs, clock, logger);
  const steering = new Steering(jobs, workers);
  const bulks = await Bulks.open({ store, jobs, steering, workers, logger, clock });
  workers.dispatch = dispatch;
  dispatch.wake();

  const attemptOf = (jobId: string, attempt: number): number => {
    const { attempts } = jobs.get(jobId).record;
    const newest = attempts.at(-1)?.number ?? 0;
    if (attempt === 0) return newest;
    if (attempt > newest) throw new Refused("not-found", `Job ${jobId} has no attempt ${attempt}.`);
    return attempt;
  };
  const live: LiveParts = {
    store,
    jobs,
    audit,
    trends,
    logs,
    workers,
    bulks,
    cursors: new Cursors(store.id),
    tableReaders: new TableReaders(),
    turns: new Turns(),
    attemptOf,
  };

  const connectParts = { workers, inputs, storeId: store.id, clock };
  const watches = new OpenWatches();
  const consoles = new Consoles({ live, steering, inputs, logger, clock, explain: refusalsOf(logger) });
  let looking: Promise<void> | undefined;
  const look = async () => {
    try {
      await Promise.all([ingest.look(), deadlines.look(clock())]);
    } catch (error) {
      logger.error({ err: error }, "a look at rates and deadlines failed; it is repeated");
    }
  };
  const timer = setInterval(() => {
    workers.look();
    dispatch.sayRetries(clock());
    proofs.expire(clock());
    looking ??= look().finally(() => (looking = undefined));
    trends.look(clock());
  }, lookEveryMs);

  const openWatch = (request: WatchRequest, { connection, signal }: WebPeer) =>
    watches.count(connection, request.subscriptions.length, watch(live, request, serverVersion, clock, signal), signal);
  const jobCalls = jobService(jobs, workers, inputs, steering);
  const operatorRoutes = (router: ConnectRouter) => {
    router.service(JobService, {
      ...jobCalls,
      ...limitCalls(limits, dispatch),
      ...jobStreams({ live, steering, open: watches, clock }),
    });
    router.service(BulkService, bulkService(bulks));
    router.service(AuditService, auditService(audit, store));
    router.service(LogService, logService(logs, attemptOf));
    router.service(LiveService, {
      watch: (request, { values, signal }) => openWatch(request, { connection: values.get(connectionKey), signal }),
    });
  };

  return {
    jobs,
    workers,
    inputs,
    auditLog: audit.log,
    auditCalls: auditCalls(audit.log, (jobId) => jobs.find(jobId)?.record.spec?.generation ?? 0n),
    readAudit: async function* (filter, signal) {
      for await (const run of audit.view.select(filter, "")) {
        if (signal.aborted) return;
        yield run.map(toAuditRow);
      }
    },
    operatorRoutes,
    workerRoutes: (router) => {
      operatorRoutes(router);
      // Browsers have no streams in both directions.
      router.service(RunService, runService(consoles, new OpenWatches(mostConsoles, mostConsolesEach)));
      router.service(WorkerService, workerService(connectParts));
    },
    plainWatch: plainWatch(openWatch),
    plainPushLogs: plainPushLogs(workers),
    plainConnect: plainConnect(connectParts),
    plainCalls: (interceptors) =>
      plainCalls(
        JobService,
        jobCalls,
        ["startJob", "sendCommand", "cancelJob", "retryJob", "sendInput", "getJob"],
        interceptors,
      ),
    readLog: async (jobId, attempt, signal, late) => {
      try {
        return (late ? logs.late : logs).text(jobId, attemptOf(jobId, attempt), signal);
      } catch (error) {
        if (error instanceof Refused && error.kind === "not-found") return undefined;
        throw error;
      }
    },
    addMetrics: (registry) => addDomainMetrics(registry, { jobs, workers, store, watches }),
    startFirstJob: async (type, name) => {
      if (jobs.size > 0) return;
      const known = workers.jobType(type);
      if (known)
        await jobs.start(create(StartJobRequestSchema, { requestId: "first job", type, name }), known, serverActor);
    },
    beginDrain: () => {
      consoles.beginDrain();
      bulks.beginDrain();
      workers.beginDrain();
    },
    flushLines: () => ingest.drain(flushMs),
    close: async () => {
      clearInterval(timer);
      consoles.beginDrain();
      await consoles.settle();
      await bulks.close();
      workers.beginDrain();
      await dispatch.stop();
      await looking;
      await workers.settle();
      await inputs.settle();
      await proofs.settle();
      // Last: what the others store at their end is anchored.
      await audit.close();
    },
  };
}

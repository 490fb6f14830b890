import type { EndOutcome, LeverReport } from "@signalbox/protocol";
import { afterEach, beforeEach, expect } from "vitest";
import { defineJob, startWorker, type Job, type JobDefinition, type Worker, type WorkerOptions } from "./index.ts";
import { ServerForTests, type LeverInit, type StoredAttempt } from "./server-for-tests.ts";

/** A server and its workers, new for each test, closed after it. The test fails if a worker did what it must not do. */
export interface RoomForTests {
  readonly server: ServerForTests;
  readonly workers: Worker[];
  readonly notices: string[];
  /** Starts a worker and waits until it is connected. */
  readonly start: StartWorker;
  /** Starts a worker that may find no server. */
  readonly startAway: StartWorker;
  /** How the attempt ended, once it has. */
  readonly ended: (attempt: StoredAttempt) => Promise<EndOutcome | undefined>;
}

type StartWorker = (jobs: JobDefinition<never>[], options?: Partial<WorkerOptions>) => Promise<Worker>;

/** To be called once at the head of a test file. */
export function roomForTests(): RoomForTests {
  let server: ServerForTests;
  let workers: Worker[];
  let notices: string[];
  beforeEach(async () => {
    server = new ServerForTests();
    await server.start();
    workers = [];
    notices = [];
  });
  afterEach(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await server.stop();
    expect(server.violations).toEqual([]);
  });
  const startAway = async (jobs: JobDefinition<never>[], options: Partial<WorkerOptions> = {}) => {
    const worker = await startWorker({
      jobs,
      url: server.url,
      token: server.token,
      workerId: "worker",
      stopGraceMs: 500,
      stopTimeoutMs: 2000,
      longestBackOffMs: 200,
      spool: false,
      onNotice: (message) => notices.push(message),
      ...options,
    });
    workers.push(worker);
    return worker;
  };
  return {
    get server() {
      return server;
    },
    get workers() {
      return workers;
    },
    get notices() {
      return notices;
    },
    startAway,
    start: async (jobs, options) => {
      const worker = await startAway(jobs, options);
      await server.until(() => worker.state.kind === "open", "the worker is connected");
      return worker;
    },
    ended: async (attempt) => {
      await server.until(() => attempt.report?.end !== undefined, "the attempt has ended");
      return attempt.report?.end?.outcome;
    },
  };
}

/** A job type whose function is the test's own. */
export function job(run: (job: Job) => ReturnType<JobDefinition["run"]>, more: Partial<JobDefinition> = {}) {
  return defineJob({ type: "test", run, ...more });
}

/** The newest word on a lever. */
export function leverOf(attempt: StoredAttempt, lever: LeverInit["case"]): LeverReport | undefined {
  return attempt.report?.levers.findLast(({ value }) => value?.value.case === lever);
}

/** A promise that a test settles. */
export function gate(): { opened: Promise<void>; open: () => void } {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  return { opened, open };
}

/** Waits until the job shall end, and throws why. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

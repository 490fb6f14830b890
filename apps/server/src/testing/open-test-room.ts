import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { ConnectError, type Code } from "@connectrpc/connect";
import {
  CommandSchema,
  RunMode,
  type AttemptSpec,
  type JobRecord,
  type JobState,
  type HoldSchema,
  type LeverValueSchema,
  type WatchRequestSchema,
  type WatchResponse,
} from "@signalbox/protocol";
import { expect } from "vitest";
import { systemClock } from "../clock.ts";
import { openTestDomain, type TestDomain } from "./open-test-domain.ts";
import { TestWorker, type TestWorkerOptions } from "./test-worker.ts";

type Lever = NonNullable<MessageInitShape<typeof LeverValueSchema>["value"]>;

export const pause: Lever = { case: "run", value: { mode: RunMode.PAUSE } };
export const goOn: Lever = { case: "run", value: { mode: RunMode.RUN } };
export const cancel: Lever = { case: "run", value: { mode: RunMode.CANCEL, graceMs: 100 } };

/** What a command says besides its lever. */
interface CommandOptions {
  readonly hold?: MessageInitShape<typeof HoldSchema>;
  readonly ifGeneration?: bigint;
  readonly deliverWithinMs?: bigint;
}

/** A test domain with workers spoken by hand, and the few things that a test does with jobs all the time. */
export class TestRoom implements AsyncDisposable {
  domain: TestDomain;
  readonly #workers: TestWorker[] = [];
  readonly #time: { passedMs: number };
  #requests = 0;

  private constructor(domain: TestDomain, time: { passedMs: number }) {
    this.domain = domain;
    this.#time = time;
  }

  static async open(): Promise<TestRoom> {
    const time = { passedMs: 0 };
    const clocks = {
      clock: () => systemClock() + time.passedMs * 1000,
      monotonic: () => performance.now() + time.passedMs,
    };
    return new TestRoom(await openTestDomain(undefined, clocks), time);
  }

  /** Lets time pass on the server's clocks, second by second as a server that is awake sees it. */
  letPass(seconds: number): void {
    for (let i = 0; i < seconds; i++) {
      this.#time.passedMs += 1000;
      this.domain.domain.workers.look();
    }
  }

  /** Connects a worker; it is killed when the room is disposed. */
  async connect(options?: TestWorkerOptions): Promise<TestWorker> {
    const worker = this.dial(options);
    await worker.heard("welcome");
    return worker;
  }

  /** Like {@link connect}, without waiting for the welcome. */
  dial(options?: TestWorkerOptions): TestWorker {
    const worker = new TestWorker(this.domain.workers, options);
    this.#workers.push(worker);
    return worker;
  }

  /** Starts a job of type 'count'; on one worker only, if it is named. */
  async start(parameters: JsonObject = {}, type = "count", workerId = ""): Promise<JobRecord> {
    const { job } = await this.domain.jobs.startJob({ requestId: this.nextId(), type, parameters, workerId });
    if (!job) throw new Error("no job");
    return job;
  }

  /** Starts a job, and has the worker take it up. */
  async startRunning(worker: TestWorker, type = "count", workerId = ""): Promise<AttemptSpec> {
    const { id } = await this.start({}, type, workerId);
    const spec = await worker.heard("spec", ({ jobId }) => jobId === id);
    worker.report(spec);
    await expect.poll(async () => (await this.get(id)).attempts.at(-1)?.startedAtUs).not.toBe(0n);
    return spec;
  }

  async get(jobId: string): Promise<JobRecord> {
    const { job } = await this.domain.jobs.getJob({ jobId });
    if (!job) throw new Error("no job");
    return job;
  }

  /** Why the job waits. */
  async waitsFor(jobId: string): Promise<string | undefined> {
    return (await this.domain.jobs.getJob({ jobId })).vitals?.waitsFor;
  }

  /** Resolves when the job has that state. */
  async state(jobId: string, wanted: JobState): Promise<JobRecord> {
    await expect.poll(async () => (await this.get(jobId)).state).toBe(wanted);
    return this.get(jobId);
  }

  /** Sets a lever. */
  set(jobId: string, value: Lever, more: CommandOptions = {}) {
    return this.domain.jobs.sendCommand({
      requestId: this.nextId(),
      jobId,
      command: create(CommandSchema, { action: { case: "set", value: { value } }, ...more }),
    });
  }

  /** Reads a watch until `enough` says so, then leaves. */
  async watch(
    subscriptions: NonNullable<MessageInitShape<typeof WatchRequestSchema>["subscriptions"]>,
    enough: (seen: readonly WatchResponse[]) => boolean,
  ): Promise<WatchResponse[]> {
    const abort = new AbortController();
    const seen: WatchResponse[] = [];
    try {
      for await (const response of this.domain.live.watch({ subscriptions }, { signal: abort.signal })) {
        seen.push(response);
        if (enough(seen)) break;
      }
    } finally {
      abort.abort();
    }
    return seen;
  }

  /** A request id that was not used before. */
  nextId(): string {
    return `request-${++this.#requests}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const worker of this.#workers) await worker.kill();
    await this.domain[Symbol.asyncDispose]();
  }
}

/** The status code and the message with which a call fails. */
export async function failure(call: Promise<unknown>): Promise<[Code, string]> {
  const error = ConnectError.from(
    await call.then(
      () => new Error("the call succeeded"),
      (reason: unknown) => reason,
    ),
  );
  return [error.code, error.rawMessage];
}

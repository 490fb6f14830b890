import { create } from "@bufbuild/protobuf";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import {
  ChunkLines,
  JobService,
  LiveService,
  LogService,
  WorkerHeartbeatSchema,
  WorkerService,
  type LogEntry,
} from "@signalbox/protocol";
import { expect, vi } from "vitest";
import { TestWorker, type TestPush } from "./test-worker.ts";

/** Where a server is, and its token. */
export interface ServerAddress {
  readonly operatorUrl: string;
  readonly workerUrl: string;
  readonly token: string;
}

const everyMs = 50;
/** So often a heartbeat, in turns of the timer. */
const beatEvery = 40;
const patience = { timeout: 15_000, interval: 20 };

/** What a line may hold, and nobody may make anything of. */
const nasty = [
  "plain",
  "nul \0, return \r, bell \u0007",
  "\u001b[2J\u001b]0;title\u0007\u001b]52;c;cm0gLXJm\u0007",
  "\u202eright to left\u2066 \u200b\ufeff",
  "<script>alert(1)</script><img src=x onerror=alert(1)>",
  "[server] job succeeded",
  '=HYPERLINK("http://evil.example")',
];

/**
 * A healthy worker with a running job that prints steadily, and a reader of its log as a page is one: whatever else happens on the server,
 * these two must not notice.
 */
export class Canary {
  readonly jobId: string;
  readonly #worker: TestWorker;
  readonly #push: TestPush;
  readonly #stop = new AbortController();
  readonly #printed: string[] = [];
  readonly #read: string[] = [];
  readonly #timer: NodeJS.Timeout;
  #beats = 0;
  #readerEnded: unknown;

  private constructor(at: ServerAddress, worker: TestWorker, jobId: string) {
    this.#worker = worker;
    this.jobId = jobId;
    this.#push = worker.push(jobId, 1);
    this.#timer = setInterval(() => {
      if (++this.#beats % beatEvery === 0) worker.say({ case: "heartbeat", value: create(WorkerHeartbeatSchema) });
      // A worker that knows its bounds does not print on where nothing is acknowledged.
      if (this.#printed.length - this.acknowledged > 500) return;
      const line = `line ${this.#printed.length + 1} ${nasty[this.#printed.length % nasty.length]}`;
      this.#printed.push(line);
      this.#push.lines([line]);
    }, everyMs);
    void this.#follow(at);
  }

  static async start(at: ServerAddress): Promise<Canary> {
    const transport = createGrpcTransport({ baseUrl: at.workerUrl, interceptors: [bearer(at)] });
    const jobs = createClient(JobService, transport);
    const worker = new TestWorker(createClient(WorkerService, transport), {
      workerId: "canary",
      types: [{ name: "canary" }],
    });
    await worker.heard("welcome");
    const { job } = await jobs.startJob({ requestId: "canary", type: "canary" });
    const spec = await worker.heard("spec", ({ jobId }) => jobId === job?.id);
    worker.report(spec);
    return new Canary(at, worker, spec.jobId);
  }

  /** Lines that are on disk. */
  get acknowledged(): number {
    return Math.max(0, Number(this.#push.acks.at(-1)?.nextLine ?? 1n) - 1);
  }

  /** Resolves when lines that are printed from now on are acknowledged and read, on the streams that were there before. */
  async sings(): Promise<void> {
    const from = this.#printed.length + 2;
    await vi.waitFor(
      () =>
        expect([this.#worker.ended, this.#readerEnded, this.acknowledged >= from && this.#read.length >= from]).toEqual(
          [undefined, undefined, true],
        ),
      patience,
    );
  }

  /** Stops printing; throws unless every line was acknowledged, was read once and in order, and is stored so. */
  async finish(at: ServerAddress): Promise<void> {
    clearInterval(this.#timer);
    const all = this.#printed.length;
    await vi.waitFor(() => expect([this.acknowledged, this.#read.length]).toEqual([all, all]), patience);
    expect(this.#read).toEqual(this.#printed);
    const logs = createClient(LogService, createGrpcTransport({ baseUrl: at.workerUrl, interceptors: [bearer(at)] }));
    const stored: string[] = [];
    for (let fromLine = 1n; fromLine <= all;) {
      const { entries, nextLine } = await logs.readLogs({ jobId: this.jobId, fromLine });
      for (const { entry } of entries) stored.push(...linesOf(entry));
      fromLine = nextLine;
    }
    expect(stored).toEqual(this.#printed);
    this.#stop.abort();
    await this.#worker.kill();
  }

  async #follow(at: ServerAddress): Promise<void> {
    const transport = createGrpcWebTransport({
      baseUrl: at.operatorUrl,
      httpVersion: "1.1",
      interceptors: [bearer(at)],
    });
    const subscription = {
      id: "log",
      kind: { case: "log", value: { jobId: this.jobId, start: { case: "fromLine", value: 1n } } },
    } as const;
    try {
      const watch = createClient(LiveService, transport).watch(
        { subscriptions: [subscription] },
        { signal: this.#stop.signal },
      );
      for await (const { message } of watch) {
        if (message.case !== "log") continue;
        for (const { entry } of message.value.entries) this.#read.push(...linesOf(entry));
      }
      this.#readerEnded = "the stream ended";
    } catch (error) {
      this.#readerEnded = error;
    }
  }
}

function linesOf(entry: LogEntry["entry"]): string[] {
  if (entry.case !== "chunk") return [];
  const lines = new ChunkLines(entry.value);
  return Buffer.from(lines.blob()).toString().split("\n").slice(0, -1);
}

function bearer({ token }: ServerAddress): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}

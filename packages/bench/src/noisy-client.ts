import { randomUUID } from "node:crypto";
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  AttemptReportSchema,
  ChunkBuilder,
  ConnectRequestSchema,
  ConnectResponseSchema,
  GapSchema,
  HelloSchema,
  PushLogsRequestSchema,
  VitalsReportSchema,
  WorkerHeartbeatSchema,
  type AttemptSpec,
  type ConnectRequest,
  type PushLogsRequest,
} from "@signalbox/protocol";
import { frame, onMessage, openCall } from "./grpc-frames.ts";
import { logLines } from "./log-lines.ts";

/** What a noisy worker says without pause, and without regard to any credit. */
export const noises = ["lines", "tiny chunks", "gaps", "reports", "vitals", "heartbeats"] as const;
export type Noise = (typeof noises)[number];

/** Messages are handed over in heaps of so many bytes: what is measured is the server, not the system calls of its client. */
const heapBytes = 128 * 1024;
const lines = logLines(20_000, 120).map((line) => Buffer.from(line));

/** A worker with one job that says the same kind of thing as fast as the connection takes it. */
export class NoisyClient {
  /** Resolves when the noise begins. */
  readonly started: Promise<void>;
  readonly #session: ClientHttp2Session;
  readonly #token: string;
  readonly #incarnation = randomUUID();
  readonly #control: ClientHttp2Stream;
  readonly #noise: Noise;
  readonly #beat: NodeJS.Timeout;
  #begin: (() => void) | undefined;
  #next = 1;
  #said = 0;

  constructor(url: string, token: string, noise: Noise) {
    this.#noise = noise;
    this.#token = token;
    this.started = new Promise((resolve) => (this.#begin = resolve));
    this.#session = connect(url).on("error", () => undefined);
    this.#control = this.#call("Connect");
    this.#say({
      case: "hello",
      value: create(HelloSchema, {
        workerId: `noisy-${process.pid}`,
        incarnation: this.#incarnation,
        agent: "bench",
        slots: 1,
        jobTypes: [{ name: "noisy", levers: ["run"] }],
      }),
    });
    this.#beat = setInterval(() => this.#say({ case: "heartbeat", value: heartbeat() }), 5_000);
    onMessage(this.#control, ConnectResponseSchema, ({ message }) => {
      if (message.case === "spec" && this.#begin) void this.#make(message.value);
    });
  }

  /** Messages that were handed to the connection. */
  get said(): number {
    return this.#said;
  }

  close(): void {
    clearInterval(this.#beat);
    this.#session.destroy();
  }

  async #make(spec: AttemptSpec): Promise<void> {
    this.#begin?.();
    this.#begin = undefined;
    this.#say({ case: "report", value: report(spec, 0) });
    const isPush = this.#noise === "lines" || this.#noise === "tiny chunks" || this.#noise === "gaps";
    const stream = isPush ? this.#call("PushLogs") : this.#control;
    const { jobId, attempt } = spec;
    if (isPush) {
      const open = { case: "open", value: { jobId, attempt, incarnation: this.#incarnation } } as const;
      stream.write(push(create(PushLogsRequestSchema, { message: open }).message));
      stream.resume();
    }
    while (!stream.destroyed) {
      const heap: Buffer[] = [];
      for (let bytes = 0; bytes < heapBytes; bytes += heap.at(-1)?.length ?? 0) heap.push(this.#message(spec));
      if (stream.write(Buffer.concat(heap))) await new Promise(setImmediate);
      else await new Promise<void>((resolve) => stream.once("drain", resolve).once("close", resolve));
    }
  }

  #message(spec: AttemptSpec): Buffer {
    const count = ++this.#said;
    const { jobId, attempt } = spec;
    switch (this.#noise) {
      case "lines":
        return push({ case: "chunk", value: this.#chunk(1_000) });
      case "tiny chunks":
        return push({ case: "chunk", value: this.#chunk(1) });
      case "gaps":
        return push({
          case: "gap",
          value: create(GapSchema, { firstLine: BigInt(this.#next++), lineCount: 1n, detail: "noise" }),
        });
      case "reports":
        return control({ case: "report", value: report(spec, count) });
      case "vitals":
        return control({
          case: "vitals",
          value: create(VitalsReportSchema, {
            attempts: [{ jobId, attempt, itemsDone: BigInt(count), phase: `phase ${count}` }],
          }),
        });
      case "heartbeats":
        return control({ case: "heartbeat", value: heartbeat() });
    }
  }

  #chunk(count: number): Uint8Array {
    const builder = new ChunkBuilder();
    const first = this.#next;
    for (let i = 0; i < count; i++)
      builder.add(lines[this.#next++ % lines.length] ?? Buffer.of(10), { timeUs: Date.now() * 1000 });
    return builder.build(first);
  }

  #say(message: ConnectRequest["message"]): void {
    if (!this.#control.destroyed) this.#control.write(control(message));
  }

  #call(method: string): ClientHttp2Stream {
    return openCall(this.#session, this.#token, method).on("error", () => undefined);
  }
}

function heartbeat() {
  return create(WorkerHeartbeatSchema, { workerTimeUs: BigInt(Date.now() * 1000) });
}

/** A report that differs from the one before: the server has to store it. */
function report({ jobId, attempt, spec }: AttemptSpec, count: number) {
  return create(AttemptReportSchema, {
    jobId,
    attempt,
    started: true,
    receivedGeneration: spec?.generation ?? 0n,
    checkpoint: Buffer.from(`checkpoint ${count}`),
  });
}

function control(message: ConnectRequest["message"]): Buffer {
  return frame(toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { message })));
}

function push(message: PushLogsRequest["message"]): Buffer {
  return frame(toBinary(PushLogsRequestSchema, create(PushLogsRequestSchema, { message })));
}

import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  AttemptReportSchema,
  ChunkBuilder,
  ConnectRequestSchema,
  ConnectResponseSchema,
  HelloSchema,
  Level,
  PushLogsRequestSchema,
  PushLogsResponseSchema,
  Source,
  WorkerHeartbeatSchema,
  type AttemptSpec,
  type ConnectRequest,
} from "@signalbox/protocol";
import { frame, onMessage, openCall } from "./grpc-frames.ts";

// Workers of a single job each, spoken by hand over a connection of their own, cheap enough that hundreds fit into one process and the
// server is what is measured. Each sends a line at once, as the SDK does when nothing of it is on its way.

const heartbeatMs = 5_000;

/** One worker with one job that prints steadily. */
export class ChattyClient {
  /** Resolves when its PushLogs stream has the server's first answer. */
  readonly ready: Promise<void>;
  readonly #session: ClientHttp2Session;
  readonly #token: string;
  readonly #incarnation = crypto.randomUUID();
  readonly #control: ClientHttp2Stream;
  readonly #builder = new ChunkBuilder(4096);
  readonly #sentAt = new Map<number, number>();
  readonly #onAck: (milliseconds: number) => void;
  readonly #heartbeat: NodeJS.Timeout;
  #push: ClientHttp2Stream | undefined;
  #nextLine = 1;
  #ackedLine = 1;
  #resolveReady: () => void = () => undefined;

  /** `onAck` is called for each acknowledged line with the time since it was printed. */
  constructor(url: string, token: string, workerId: string, onAck: (milliseconds: number) => void) {
    this.#onAck = onAck;
    this.ready = new Promise((resolve) => (this.#resolveReady = resolve));
    this.#session = connect(url);
    this.#token = token;
    this.#control = this.#open("Connect");
    this.#say({
      case: "hello",
      value: create(HelloSchema, {
        workerId,
        incarnation: this.#incarnation,
        agent: "bench",
        slots: 1,
        jobTypes: [{ name: "chatty", levers: ["run"] }],
        workerTimeUs: BigInt(Date.now() * 1000),
      }),
    });
    onMessage(this.#control, ConnectResponseSchema, ({ message }) => {
      if (message.case === "spec" && !this.#push) this.#begin(message.value);
      if (message.case === "heartbeat") this.#beat(message.value.serverTimeUs);
    });
    this.#heartbeat = setInterval(() => this.#beat(0n), heartbeatMs);
  }

  /** Lines that were printed and are not acknowledged. */
  get unacknowledged(): number {
    return this.#nextLine - this.#ackedLine;
  }

  /** Prints a line. */
  print(line: Uint8Array): void {
    this.#sentAt.set(this.#nextLine, performance.now());
    this.#builder.add(line, { timeUs: Date.now() * 1000, level: Level.INFO, source: Source.STDOUT, continues: false });
    const chunk = this.#builder.build(this.#nextLine++);
    this.#push?.write(
      frame(
        toBinary(PushLogsRequestSchema, create(PushLogsRequestSchema, { message: { case: "chunk", value: chunk } })),
      ),
    );
  }

  close(): void {
    clearInterval(this.#heartbeat);
    this.#session.destroy();
  }

  #begin(spec: AttemptSpec): void {
    const { jobId, attempt } = spec;
    this.#say({
      case: "report",
      value: create(AttemptReportSchema, {
        jobId,
        attempt,
        started: true,
        receivedGeneration: spec.spec?.generation ?? 0n,
        nextLine: 1n,
      }),
    });
    this.#push = this.#open("PushLogs");
    const open = { case: "open", value: { jobId, attempt, incarnation: this.#incarnation } } as const;
    this.#push.write(frame(toBinary(PushLogsRequestSchema, create(PushLogsRequestSchema, { message: open }))));
    onMessage(this.#push, PushLogsResponseSchema, ({ nextLine }) => {
      this.#resolveReady();
      const now = performance.now();
      for (; this.#ackedLine < Number(nextLine); this.#ackedLine++) {
        this.#onAck(now - (this.#sentAt.get(this.#ackedLine) ?? NaN));
        this.#sentAt.delete(this.#ackedLine);
      }
    });
  }

  #beat(echoServerTimeUs: bigint): void {
    const value = { echoServerTimeUs, workerTimeUs: BigInt(Date.now() * 1000), bufferedBytes: 0n };
    this.#say({ case: "heartbeat", value: create(WorkerHeartbeatSchema, value) });
  }

  #say(message: ConnectRequest["message"]): void {
    this.#control.write(frame(toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { message }))));
  }

  #open(method: string): ClientHttp2Stream {
    const stream = openCall(this.#session, this.#token, method);
    stream.on("close", () => {
      if (!this.#session.destroyed) throw new Error(`${method} was ended by the server`);
    });
    return stream;
  }
}

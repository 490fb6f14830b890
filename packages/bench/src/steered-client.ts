import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  AttemptReportSchema,
  ConnectRequestSchema,
  ConnectResponseSchema,
  HelloSchema,
  LeverOutcome,
  LeverReportSchema,
  WorkerHeartbeatSchema,
  type AttemptSpec,
  type ConnectRequest,
} from "@signalbox/protocol";
import { frame, onMessage, openCall } from "./grpc-frames.ts";

// Workers of a single job each that do nothing but obey, spoken by hand over a connection of their own: what a command on a running job costs
// the server is its call and two words of its worker.

const heartbeatMs = 5_000;

/** The type of the jobs that they run. */
export const steeredType = "steered";

/** One worker, which says of each lever at once that it has it, and then that it stands. */
export class SteeredClient {
  /** The id of its job, when it has one. */
  readonly job: Promise<string>;
  readonly #session: ClientHttp2Session;
  readonly #control: ClientHttp2Stream;
  readonly #heartbeat: NodeJS.Timeout;
  /** The newest generation of each lever that it told of. */
  readonly #told = new Map<string, bigint>();
  #isStarted = false;
  #generation = 0n;
  #heard = Promise.withResolvers<void>();
  #resolveJob: (id: string) => void = () => undefined;

  constructor(url: string, token: string, workerId: string) {
    this.job = new Promise((resolve) => (this.#resolveJob = resolve));
    this.#session = connect(url);
    this.#control = openCall(this.#session, token, "Connect");
    this.#control.on("close", () => {
      if (!this.#session.destroyed) throw new Error("Connect was ended by the server");
    });
    this.#say({
      case: "hello",
      value: create(HelloSchema, {
        workerId,
        incarnation: crypto.randomUUID(),
        agent: "bench",
        slots: 1,
        jobTypes: [{ name: steeredType, levers: ["run", "speed"] }],
        workerTimeUs: BigInt(Date.now() * 1000),
      }),
    });
    onMessage(this.#control, ConnectResponseSchema, ({ message }) => {
      if (message.case === "spec") this.#obey(message.value);
      if (message.case === "heartbeat") this.#beat(message.value.serverTimeUs);
    });
    this.#heartbeat = setInterval(() => this.#beat(0n), heartbeatMs);
  }

  /** Resolves when the worker has told that it obeys a generation, or a newer one. */
  async obeys(generation: bigint): Promise<void> {
    while (this.#generation < generation) await this.#heard.promise;
  }

  close(): void {
    clearInterval(this.#heartbeat);
    this.#session.destroy();
  }

  #obey({ jobId, attempt, spec }: AttemptSpec): void {
    const receivedGeneration = spec?.generation ?? 0n;
    if (this.#isStarted && receivedGeneration <= this.#generation) return;
    const base = { jobId, attempt, started: true, receivedGeneration, nextLine: 1n };
    this.#isStarted = true;
    this.#resolveJob(jobId);
    this.#say({ case: "report", value: create(AttemptReportSchema, base) });
    const levers = (spec?.levers ?? []).flatMap(({ value, generation }) => {
      const lever = value?.value.case ?? "";
      if (!value || this.#told.get(lever) === generation) return [];
      this.#told.set(lever, generation);
      return create(LeverReportSchema, { value, generation, outcome: LeverOutcome.APPLIED, atLine: 1n });
    });
    this.#say({ case: "report", value: create(AttemptReportSchema, { ...base, levers }) });
    this.#generation = receivedGeneration;
    this.#heard.resolve();
    this.#heard = Promise.withResolvers();
  }

  #beat(echoServerTimeUs: bigint): void {
    const value = { echoServerTimeUs, workerTimeUs: BigInt(Date.now() * 1000), bufferedBytes: 0n };
    this.#say({ case: "heartbeat", value: create(WorkerHeartbeatSchema, value) });
  }

  #say(message: ConnectRequest["message"]): void {
    this.#control.write(frame(toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { message }))));
  }
}

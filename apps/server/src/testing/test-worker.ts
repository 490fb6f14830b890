import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { createWritableIterable } from "@connectrpc/connect/protocol";
import {
  AttemptReportSchema,
  ChunkBuilder,
  ConnectRequestSchema,
  HelloSchema,
  LeavingSchema,
  LeverOutcome,
  LeverReportSchema,
  PushLogsOpenSchema,
  PushLogsRequestSchema,
  type AttemptSpec,
  type ConnectRequest,
  type ConnectResponse,
  type HelloSchema as HelloType,
  type JobTypeSchema,
  type LeverReport,
  type PushLogsRequest,
  type PushLogsResponse,
  type WorkerService,
} from "@signalbox/protocol";

/** What a test's worker says of itself. */
export interface TestWorkerOptions {
  readonly workerId?: string;
  readonly incarnation?: string;
  readonly slots?: number;
  readonly types?: MessageInitShape<typeof JobTypeSchema>[];
  readonly attempts?: MessageInitShape<typeof HelloType>["attempts"];
  readonly transient?: boolean;
  readonly labels?: Record<string, string>;
  /** What its clock says at the hello, microseconds. Default: it does not tell. */
  readonly timeUs?: number;
}

type Down = Exclude<ConnectResponse["message"], { case: undefined }>;
type DownValue<C extends Down["case"]> = Extract<Down, { case: C }>["value"];

let incarnations = 0;

/**
 * A worker spoken by hand, message by message, so that a test can say what no SDK would. It does nothing by itself.
 */
export class TestWorker implements AsyncDisposable {
  readonly workerId: string;
  readonly incarnation: string;
  readonly received: ConnectResponse[] = [];
  /** Why the stream ended, once it has. */
  ended: unknown;
  isOpen = true;
  readonly #client: Client<typeof WorkerService>;
  readonly #up = createWritableIterable<ConnectRequest>();
  readonly #abort = new AbortController();
  readonly #reading: Promise<void>;
  #changed: (() => void)[] = [];

  constructor(client: Client<typeof WorkerService>, options: TestWorkerOptions = {}) {
    this.#client = client;
    this.workerId = options.workerId ?? "w1";
    this.incarnation = options.incarnation ?? `incarnation-${String(++incarnations).padStart(8, "0")}`;
    const hello = create(HelloSchema, {
      workerId: this.workerId,
      incarnation: this.incarnation,
      agent: "test",
      slots: options.slots ?? 2,
      jobTypes: options.types ?? [{ name: "count", levers: ["run", "speed"] }],
      attempts: options.attempts ?? [],
      transient: options.transient ?? false,
      labels: options.labels ?? {},
      workerTimeUs: BigInt(options.timeUs ?? 0),
    });
    this.say({ case: "hello", value: hello });
    this.#reading = this.#read();
  }

  /** Sends a message. */
  say(message: ConnectRequest["message"]): void {
    void this.#up.write(create(ConnectRequestSchema, { message })).catch(() => undefined); // The stream has ended: `ended` says why.
  }

  /** Resolves with the first received message of a kind that fits, from those received and those to come. */
  async heard<C extends Down["case"]>(
    kind: C,
    fits: (value: DownValue<C>) => boolean = () => true,
  ): Promise<DownValue<C>> {
    for (let from = 0; ;) {
      for (; from < this.received.length; from++) {
        const message = this.received[from]?.message;
        if (message?.case === kind) {
          const value = message.value as DownValue<C>;
          if (fits(value)) return value;
        }
      }
      if (!this.isOpen)
        throw this.ended instanceof Error ? this.ended : new Error(`the stream ended before ${kind} came`);
      await new Promise<void>((resolve) => this.#changed.push(resolve));
    }
  }

  /** Reports an attempt: started, with the generation of `spec` received, and the given levers applied. */
  report(spec: AttemptSpec, more: MessageInitShape<typeof AttemptReportSchema> = {}): void {
    this.say({
      case: "report",
      value: create(AttemptReportSchema, {
        jobId: spec.jobId,
        attempt: spec.attempt,
        started: true,
        receivedGeneration: spec.spec?.generation ?? 0n,
        levers: appliedAll(spec),
        ...more,
      }),
    });
  }

  /** Says that it leaves, and ends its side of the stream. Resolves when the server has ended its own. */
  async leave(): Promise<void> {
    this.say({ case: "leaving", value: create(LeavingSchema, { reason: "done" }) });
    this.#up.close();
    await this.#reading;
  }

  /** Opens a PushLogs stream for an attempt. */
  push(jobId: string, attempt: number, incarnation: string = this.incarnation): TestPush {
    return new TestPush(this.#client, { jobId, attempt, incarnation });
  }

  /** Opens a PushLogs stream for what another process left in its spool. */
  deliver(jobId: string, attempt: number, incarnation: string): TestPush {
    return new TestPush(this.#client, { jobId, attempt, incarnation, spooled: true });
  }

  async #read(): Promise<void> {
    try {
      for await (const response of this.#client.connect(this.#up, { signal: this.#abort.signal })) {
        this.received.push(response);
        this.#notify();
      }
    } catch (error) {
      this.ended = error;
    } finally {
      this.isOpen = false;
      this.#notify();
    }
  }

  #notify(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }

  /** Resolves when the stream has ended. */
  async end(): Promise<void> {
    await this.#reading;
  }

  /** The process is gone. */
  async kill(): Promise<void> {
    this.#abort.abort();
    await this.#reading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** One PushLogs stream, by hand. */
export class TestPush {
  readonly acks: PushLogsResponse[] = [];
  /** Resolves with the error with which the stream ended, or undefined. */
  readonly ended: Promise<unknown>;
  readonly #up = createWritableIterable<PushLogsRequest>();
  #changed: (() => void)[] = [];
  #isOpen = true;
  #next = 1;

  constructor(client: Client<typeof WorkerService>, open: MessageInitShape<typeof PushLogsOpenSchema>) {
    this.say({ case: "open", value: create(PushLogsOpenSchema, open) });
    this.ended = this.#read(client);
  }

  /** Sends a message. */
  say(message: PushLogsRequest["message"]): void {
    void this.#up.write(create(PushLogsRequestSchema, { message })).catch(() => undefined); // The stream has ended: `ended` says why.
  }

  /** Sends lines as one chunk that follows the ones before, or begins at `first`. Each gets a newline. */
  lines(texts: readonly string[], first: number = this.#next): void {
    const builder = new ChunkBuilder();
    for (const text of texts) builder.add(Buffer.from(`${text}\n`), { timeUs: Date.now() * 1000 });
    this.#next = first + texts.length;
    this.say({ case: "chunk", value: builder.build(first) });
  }

  /** Resolves when all lines below `line` are acknowledged. */
  async acknowledged(line: number): Promise<void> {
    while (Number(this.acks.at(-1)?.nextLine ?? 0) < line) {
      if (!this.#isOpen)
        throw new Error("the stream ended before the acknowledgement came", { cause: await this.ended });
      await new Promise<void>((resolve) => this.#changed.push(resolve));
    }
  }

  /** Ends the stream from this side. */
  close(): void {
    this.#up.close();
  }

  async #read(client: Client<typeof WorkerService>): Promise<unknown> {
    try {
      for await (const ack of client.pushLogs(this.#up)) {
        this.acks.push(ack);
        for (const resolve of this.#changed.splice(0)) resolve();
      }
      return undefined;
    } catch (error) {
      return error;
    } finally {
      this.#isOpen = false;
      for (const resolve of this.#changed.splice(0)) resolve();
    }
  }
}

/** A report that every lever of a spec is applied. */
export function appliedAll(spec: AttemptSpec, atLine = 1n): LeverReport[] {
  return (spec.spec?.levers ?? []).map(({ generation, value }) =>
    create(LeverReportSchema, { generation, outcome: LeverOutcome.APPLIED, atLine, ...(value ? { value } : {}) }),
  );
}

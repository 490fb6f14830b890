import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { clone, create, fromBinary, type JsonObject } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  AttemptSpecSchema,
  ChunkBodySchema,
  chunkFault,
  ConnectResponseSchema,
  dropLines,
  LogRefusalSchema,
  PushLogsResponseSchema,
  JobService,
  JobState,
  RunMode,
  StartJobResponseSchema,
  WorkerService,
  type AttemptReport,
  type AttemptSpec,
  type ChunkBody,
  type ConnectRequest,
  type ConnectResponse,
  type Gap,
  type Hello,
  type InputTaken,
  type JobRecordSchema,
  type LeverSetting,
  type LeverValueSchema,
  type PushLogsOpen,
  type PushLogsRequest,
  type PushLogsResponse,
  type StartJobRequest,
  type StartJobResponse,
} from "@signalbox/protocol";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { StoredAttempt } from "./attempt-for-tests.ts";
import { attemptKey } from "./attempt-key.ts";
import { Bell } from "./bell.ts";

export { StoredAttempt } from "./attempt-for-tests.ts";

/** How the server misbehaves. */
export interface Misbehaviour {
  /** Received chunks are stored; without it they wait for `commit`. */
  autoCommit: boolean;
  /** Stored lines are acknowledged; without it they wait until it is set. */
  autoAck: boolean;
  creditBytes: number;
  heartbeatMs: number;
  leaseMs: number;
  /** Whether heartbeats are sent at all. */
  beats: boolean;
  /** Ends are accepted. */
  acceptEnds: boolean;
  /** An attempt is for the process only that got it first, and that of a started job for the worker that started it. */
  keepsToProcess: boolean;
  /** Lines of fenced attempts are taken as evidence. */
  takeLate: boolean;
  /** Says why a chunk is refused as malformed, if it is. */
  refuse: (body: ChunkBody) => string | undefined;
  /** Says with what StartJob fails, if it does. */
  refuseJob: (request: StartJobRequest) => ConnectError | undefined;
  /** How the jobs that are started stand already. */
  startedJob: MessageInitShape<typeof JobRecordSchema>;
  /** Started jobs get their attempt before StartJob is answered, after it, or not until `assignStarted`. */
  assignJobs: "before" | "after" | "never";
}

interface Link {
  hello: Hello;
  outgoing: ConnectResponse[];
  filled: Bell;
  /** Another process has taken the worker's name. */
  replaced: boolean;
  /** Offset after the input that was sent over this link, by attempt; none before the worker has asked for it. */
  inputSent: Map<StoredAttempt, number>;
}

const inputPieceBytes = 64 * 1024;
const inputWindowBytes = 256 * 1024;

interface Push {
  attempt: StoredAttempt;
  uncommitted: { body?: ChunkBody; gap?: Gap; bytes: number }[];
  /** Where the stream is, stored or not. */
  streamLine: number;
  ackedLine: number;
  /** Chunks that arrived and are not acknowledged. */
  inFlight: { nextLine: number; bytes: number }[];
  filled: Bell;
}

/**
 * A worker-facing server in memory on a real h2c socket, after the comments of worker.proto. `restart` keeps what is stored and loses
 * what is not, like a killed server.
 */
export class ServerForTests {
  readonly attempts = new Map<string, StoredAttempt>();
  readonly hellos: Hello[] = [];
  readonly leavings: string[] = [];
  readonly heartbeats: { echoUs: bigint; atMs: number }[] = [];
  /** What a worker did that it must not do. */
  readonly violations: string[] = [];
  /** Rings whenever anything has arrived or been stored. */
  readonly changed = new Bell();
  readonly behaviour: Misbehaviour = {
    autoCommit: true,
    autoAck: true,
    creditBytes: 256 * 1024,
    heartbeatMs: 5000,
    leaseMs: 15_000,
    beats: true,
    acceptEnds: true,
    keepsToProcess: false,
    takeLate: true,
    refuse: () => undefined,
    refuseJob: () => undefined,
    startedJob: { state: JobState.QUEUED },
    assignJobs: "after",
  };
  storeId = "store";
  /** Every stream that somebody opened for a process that was gone. */
  readonly spooledPushes: PushLogsOpen[] = [];
  /** Every StartJob that arrived. */
  readonly startJobs: StartJobRequest[] = [];
  token = "token-for-tests";
  /** Bytes of every chunk message that arrived, by attempt and first line: the same lines must always be the same bytes. */
  readonly #seen = new Map<string, Buffer>();
  #server: Http2Server | undefined;
  #sessions = new Set<ServerHttp2Session>();
  #links = new Set<Link>();
  #pushes = new Set<Push>();
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get isConnected(): boolean {
    return this.#links.size > 0;
  }

  async start(): Promise<void> {
    const server = createServer(
      { settings: { initialWindowSize: 1024 * 1024 } },
      connectNodeAdapter({
        readMaxBytes: 512 * 1024,
        routes: (router) =>
          router
            .service(WorkerService, {
              connect: (requests, context) => this.#connect(requests, context),
              pushLogs: (requests, context) => this.#pushLogs(requests, context),
            })
            .service(JobService, { startJob: (request) => this.#startJob(request) }),
      }),
    );
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
      session.on("error", () => undefined); // a dropped worker
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, "127.0.0.1", resolve);
    });
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Ends at once, as by kill -9. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    this.drop();
    await closed;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Cuts every connection. What is not stored is lost. */
  drop(): void {
    for (const session of this.#sessions) session.destroy();
    this.#links.clear();
    this.#pushes.clear();
  }

  /** Assigns an attempt. `levers` beside run and parameters. */
  assign(
    jobId: string,
    type: string,
    {
      attempt = 1,
      parameters = {},
      levers = [],
      workerId = "",
      ...rest
    }: Partial<Pick<AttemptSpec, "attempt" | "checkpoint">> & {
      parameters?: JsonObject;
      workerId?: string;
      levers?: LeverInit[];
    } = {},
  ): StoredAttempt {
    const all: LeverInit[] = [
      { case: "run", value: { mode: RunMode.RUN } },
      { case: "parameters", value: { parameters } },
      ...levers,
    ];
    const spec = create(AttemptSpecSchema, {
      jobId,
      attempt,
      type,
      name: type,
      ...rest,
      spec: {
        generation: BigInt(all.length),
        levers: all.map((value, i) => ({ generation: BigInt(i + 1), value: { value } })),
      },
    });
    const stored = new StoredAttempt(spec);
    stored.workerId = workerId;
    this.attempts.set(attemptKey(spec), stored);
    this.deliver(stored);
    return stored;
  }

  /** Moves a lever: the next generation, delivered to whoever is connected. Returns the generation. */
  set(attempt: StoredAttempt, value: LeverInit, hold?: { durationMs: bigint; then: LeverInit }, setBy = ""): bigint {
    const spec = attempt.spec.spec;
    if (!spec) throw new Error("an attempt has a spec");
    spec.generation++;
    const { generation } = spec;
    const fresh = create(AttemptSpecSchema, {
      spec: {
        levers: [
          {
            generation,
            value: { value },
            setBy,
            ...(hold ? { hold: { durationMs: hold.durationMs, then: { value: hold.then } } } : {}),
          },
        ],
      },
    }).spec?.levers[0] as LeverSetting;
    spec.levers = [...spec.levers.filter((setting) => setting.value?.value.case !== value.case), fresh];
    this.deliver(attempt);
    return generation;
  }

  /** Delivers the whole spec as it is now, first or again. */
  deliver(attempt: StoredAttempt): void {
    const isFor = ({ hello }: Link) => {
      attempt.runsIn ||= attempt.workerId === "" || attempt.workerId === hello.workerId ? hello.incarnation : "";
      return attempt.runsIn === hello.incarnation;
    };
    const spec = clone(AttemptSpecSchema, attempt.spec);
    this.#say({ case: "spec", value: spec }, this.behaviour.keepsToProcess ? isFor : undefined);
  }

  /** Resolves when the worker has answered a heartbeat: it has had what was said before, and time to act on it. */
  async roundTrip(): Promise<void> {
    const serverTimeUs = BigInt(Math.round(performance.now() * 1000));
    this.#say({ case: "heartbeat", value: { serverTimeUs } });
    await this.until(() => this.heartbeats.some(({ echoUs }) => echoUs >= serverTimeUs), "a heartbeat is answered");
  }

  /** Sends input into an attempt; `eof` says that none follows. */
  send(attempt: StoredAttempt, data: string | Uint8Array, { eof = false } = {}): void {
    attempt.input = Buffer.concat([attempt.input, typeof data === "string" ? Buffer.from(data) : data]);
    attempt.inputEnded = eof;
    for (const link of this.#links) this.#sendInput(link, attempt);
  }

  /** Says anything at all, whether it is right or not. */
  say(message: MessageInitShape<typeof ConnectResponseSchema>["message"]): void {
    this.#say(message);
  }

  /** Gives the jobs that were started an attempt each. */
  assignStarted(): void {
    for (const request of this.startJobs) this.#assignStarted(request);
  }

  /** The attempt of the job that was started first. */
  get firstStarted(): StoredAttempt | undefined {
    const [request] = this.startJobs;
    return request && this.attempts.get(attemptKey({ jobId: jobIdOf(request), attempt: 1 }));
  }

  fence(attempt: StoredAttempt): void {
    attempt.fence();
    for (const push of this.#pushes) if (push.attempt === attempt) this.#pushes.delete(push);
    this.#sayFenced(attempt);
  }

  #sayFenced({ spec: { jobId, attempt } }: StoredAttempt): void {
    this.#say({ case: "fenced", value: { jobId, attempt, reason: "for a test" } });
  }

  drain(stop: boolean): void {
    this.#say({ case: "drain", value: { stop, reason: "for a test" } });
  }

  /** Stores what was received, at most `chunks` of each stream. */
  commit(chunks = Infinity): void {
    for (const push of this.#pushes) this.#commit(push, chunks);
  }

  /** Lets streams acknowledge what is stored, after `behaviour.autoAck` was set. */
  acknowledge(): void {
    for (const push of this.#pushes) push.filled.ring();
  }

  /** Resolves when `condition` holds; rejects after `ms` with what is known. */
  async until(condition: () => boolean, what: string, ms = 60_000): Promise<void> {
    const deadline = performance.now() + ms;
    while (!condition()) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`not within ${ms} ms: ${what}`);
      // Some conditions are about the worker, of which no bell here knows.
      await this.changed.wait({ ms: Math.min(left, 20) });
    }
  }

  #say(
    message: MessageInitShape<typeof ConnectResponseSchema>["message"],
    isFor: (link: Link) => boolean = () => true,
  ): void {
    for (const link of this.#links) {
      if (!isFor(link)) continue;
      link.outgoing.push(create(ConnectResponseSchema, message ? { message } : {}));
      link.filled.ring();
    }
  }

  async *#connect(requests: AsyncIterable<ConnectRequest>, context: HandlerContext): AsyncGenerator<ConnectResponse> {
    if (context.requestHeader.get("authorization") !== `Bearer ${this.token}`)
      throw new ConnectError("wrong token", Code.Unauthenticated);
    const iterator = requests[Symbol.asyncIterator]();
    const first = await iterator.next();
    if (first.done || first.value.message.case !== "hello") throw new ConnectError("no hello", Code.InvalidArgument);
    const hello = first.value.message.value;
    const link: Link = { hello, outgoing: [], filled: new Bell(), replaced: false, inputSent: new Map() };
    for (const other of this.#links) {
      if (other.hello.workerId !== hello.workerId) continue;
      other.replaced = other.hello.incarnation !== hello.incarnation;
      this.#links.delete(other);
      other.filled.ring();
    }
    this.hellos.push(hello);
    this.#links.add(link);
    this.changed.ring();
    const { heartbeatMs, leaseMs } = this.behaviour;
    yield create(ConnectResponseSchema, {
      message: { case: "welcome", value: { storeId: this.storeId, epoch: 1n, heartbeatMs, leaseMs } },
    });
    for (const report of hello.attempts) this.#report(report);
    for (const attempt of this.attempts.values()) {
      if (attempt.endAccepted || attempt.fenced) continue;
      if (!this.behaviour.keepsToProcess || attempt.runsIn === hello.incarnation) this.deliver(attempt);
    }
    const reading = this.#read(iterator, link);
    const timer = setInterval(() => {
      if (this.behaviour.beats)
        this.#say({ case: "heartbeat", value: { serverTimeUs: BigInt(Math.round(performance.now() * 1000)) } });
    }, heartbeatMs);
    try {
      while (!context.signal.aborted && this.#links.has(link)) {
        const message = link.outgoing.shift();
        if (message) yield message;
        else await link.filled.wait({ signal: context.signal });
      }
      if (link.replaced) throw new ConnectError("another process took the name over", Code.FailedPrecondition);
    } finally {
      clearInterval(timer);
      this.#links.delete(link);
      if (!link.replaced) await reading;
    }
  }

  async #read(iterator: AsyncIterator<ConnectRequest>, link: Link): Promise<void> {
    try {
      for (;;) {
        const next = await iterator.next();
        if (next.done) break;
        const { message } = next.value;
        if (message.case === "report") this.#report(message.value);
        else if (message.case === "leaving") this.leavings.push(message.value.reason);
        else if (message.case === "heartbeat")
          this.heartbeats.push({ echoUs: message.value.echoServerTimeUs, atMs: performance.now() });
        else if (message.case === "vitals") {
          for (const vitals of message.value.attempts) this.attempts.get(attemptKey(vitals))?.vitals.push(vitals);
        } else if (message.case === "inputTaken") this.#inputTaken(link, message.value);
        else this.violations.push(`unexpected ${message.case}`);
        this.changed.ring();
      }
    } catch {
      // The connection is gone.
    } finally {
      this.#links.delete(link);
      link.filled.ring();
    }
  }

  #inputTaken(link: Link, taken: InputTaken): void {
    const attempt = this.attempts.get(attemptKey(taken));
    if (!attempt) return;
    const offset = Number(taken.offset);
    if (offset > attempt.input.length) this.violations.push(`took input up to ${offset}, sent ${attempt.input.length}`);
    attempt.inputTaken.push(offset);
    if (!link.inputSent.has(attempt)) link.inputSent.set(attempt, offset);
    this.#sendInput(link, attempt);
  }

  #sendInput(link: Link, attempt: StoredAttempt): void {
    const { jobId, attempt: number } = attempt.spec;
    const limit = (attempt.inputTaken.at(-1) ?? 0) + inputWindowBytes;
    for (;;) {
      const at = link.inputSent.get(attempt);
      if (at === undefined) return;
      const end = Math.min(at + inputPieceBytes, attempt.input.length, limit);
      const eof = attempt.inputEnded && end === attempt.input.length;
      if (end === at && !eof) return;
      const value = { jobId, attempt: number, offset: BigInt(at), data: attempt.input.subarray(at, end), eof };
      link.outgoing.push(create(ConnectResponseSchema, { message: { case: "input", value } }));
      link.filled.ring();
      link.inputSent.set(attempt, end);
      if (eof) return;
    }
  }

  #startJob(request: StartJobRequest): StartJobResponse {
    this.startJobs.push(request);
    this.changed.ring();
    const refusal = this.behaviour.refuseJob(request);
    if (refusal) throw refusal;
    const { assignJobs, startedJob } = this.behaviour;
    if (assignJobs === "before") this.#assignStarted(request);
    if (assignJobs === "after") setTimeout(() => this.#assignStarted(request), 20);
    return create(StartJobResponseSchema, {
      job: { ...startedJob, id: jobIdOf(request), type: request.type },
    });
  }

  #assignStarted(request: StartJobRequest): void {
    const jobId = jobIdOf(request);
    if (this.attempts.has(attemptKey({ jobId, attempt: 1 }))) return;
    const { parameters = {}, workerId } = request;
    this.assign(jobId, request.type, { parameters, workerId });
  }

  #report(report: AttemptReport): void {
    const attempt = this.attempts.get(attemptKey(report));
    if (!attempt) return;
    if (attempt.endAccepted) {
      // The worker has not heard it.
      this.#acceptEnd(report);
      return;
    }
    if (attempt.fenced && !report.end) {
      this.#sayFenced(attempt);
      return;
    }
    attempt.reports.push(report);
    if (report.end) {
      if (Number(report.end.endLine) !== (attempt.fenced ? attempt.lateEvidence : attempt).nextLine)
        this.violations.push(`end_line ${report.end.endLine}, stored ${attempt.nextLine}`);
      if (this.behaviour.acceptEnds) {
        attempt.endAccepted = true;
        this.#acceptEnd(report);
      }
    }
    this.changed.ring();
  }

  #acceptEnd({ jobId, attempt }: AttemptReport): void {
    this.#say({ case: "endAccepted", value: { jobId, attempt } });
  }

  async *#pushLogs(
    requests: AsyncIterable<PushLogsRequest>,
    context: HandlerContext,
  ): AsyncGenerator<PushLogsResponse> {
    const iterator = requests[Symbol.asyncIterator]();
    const first = await iterator.next();
    if (first.done || first.value.message.case !== "open") throw new ConnectError("no open", Code.InvalidArgument);
    const open = first.value.message.value;
    const own = this.attempts.get(attemptKey(open));
    if (!own || (own.endAccepted && !own.fenced)) throw new ConnectError("no such attempt", Code.FailedPrecondition);
    const isConnected = [...this.#links].some(({ hello }) => hello.incarnation === open.incarnation);
    if (isConnected === open.spooled)
      throw new ConnectError(isConnected ? "delivers itself" : "not connected", Code.FailedPrecondition);
    if (!this.behaviour.takeLate && own.fenced) throw new ConnectError("not yours", Code.FailedPrecondition);
    if (open.spooled) this.spooledPushes.push(open);
    const late = own.fenced;
    const attempt = late ? own.lateEvidence : own;
    attempt.incarnation = open.incarnation;
    const push: Push = {
      attempt,
      uncommitted: [],
      streamLine: attempt.nextLine,
      ackedLine: attempt.nextLine,
      inFlight: [],
      filled: new Bell(),
    };
    this.#pushes.add(push);
    const { creditBytes } = this.behaviour;
    yield create(PushLogsResponseSchema, { nextLine: BigInt(attempt.nextLine), creditBytes, late });
    let failure: unknown;
    let ended = false;
    const reading = this.#receive(iterator, push).then(
      () => {
        ended = true;
        push.filled.ring();
      },
      (error: unknown) => {
        failure = error;
        push.filled.ring();
      },
    );
    try {
      while (!context.signal.aborted && this.#pushes.has(push)) {
        if (failure) throw failure as Error;
        if (this.behaviour.autoAck && attempt.nextLine > push.ackedLine) {
          push.ackedLine = attempt.nextLine;
          push.inFlight = push.inFlight.filter(({ nextLine }) => nextLine > push.ackedLine);
          yield create(PushLogsResponseSchema, { nextLine: BigInt(push.ackedLine), creditBytes, late });
        } else if (ended) return;
        else await push.filled.wait({ signal: context.signal });
      }
    } finally {
      this.#pushes.delete(push);
      if (ended || failure) await reading;
    }
  }

  async #receive(iterator: AsyncIterator<PushLogsRequest>, push: Push): Promise<void> {
    const { attempt } = push;
    for (;;) {
      const next = await iterator.next();
      if (next.done || !this.#pushes.has(push)) return;
      const { message } = next.value;
      if (attempt.fenced) this.violations.push("lines of a fenced attempt on a stream that was opened before");
      if (message.case === "gap") {
        const gap = message.value;
        if (Number(gap.firstLine) !== push.streamLine) throw this.#refusal(Code.Aborted, push.streamLine, "a hole");
        push.streamLine += Number(gap.lineCount);
        push.uncommitted.push({ gap, bytes: 0 });
      } else if (message.case === "chunk") {
        const body = this.#check(message.value, push);
        if (body) push.uncommitted.push({ body, bytes: message.value.length });
      }
      if (this.behaviour.autoCommit) this.#commit(push, Infinity);
      push.filled.ring();
      this.changed.ring();
    }
  }

  /** Checks and slices a chunk; undefined if it is a repetition. */
  #check(bytes: Uint8Array, push: Push): ChunkBody | undefined {
    const { attempt } = push;
    if (bytes.length > 256 * 1024) this.violations.push(`a chunk of ${bytes.length} bytes`);
    const body = fromBinary(ChunkBodySchema, bytes);
    push.inFlight.push({ nextLine: Number(body.firstLine) + body.lineCount, bytes: bytes.length });
    const inFlightBytes = push.inFlight.reduce((sum, each) => sum + each.bytes, 0);
    const { creditBytes } = this.behaviour;
    if (push.inFlight.length > 1 && inFlightBytes > creditBytes)
      this.violations.push(`${inFlightBytes} bytes on the wire, credit ${creditBytes}`);
    const fault = chunkFault(body) ?? this.behaviour.refuse(body);
    if (fault) throw this.#refusal(Code.InvalidArgument, attempt.nextLine, fault);
    const key = `${attemptKey(attempt.spec)}:${body.firstLine}`;
    const before = this.#seen.get(key);
    if (before && Buffer.compare(before, bytes) !== 0)
      this.violations.push(`line ${body.firstLine} was sent as other bytes before`);
    this.#seen.set(key, Buffer.from(bytes));
    const from = Number(body.firstLine);
    const next = from + body.lineCount;
    if (from > push.streamLine) throw this.#refusal(Code.Aborted, push.streamLine, "a hole");
    if (next <= push.streamLine) return undefined;
    const sliced = from < push.streamLine ? dropLines(body, push.streamLine - from) : body;
    push.streamLine = next;
    return sliced;
  }

  #refusal(code: Code, nextLine: number, reason: string): ConnectError {
    return new ConnectError(reason, code, undefined, [
      { desc: LogRefusalSchema, value: { nextLine: BigInt(nextLine), reason } },
    ]);
  }

  #commit(push: Push, chunks: number): void {
    const { attempt } = push;
    for (const { body, gap } of push.uncommitted.splice(0, chunks)) {
      const entry = body ?? gap;
      if (!entry) continue;
      if (Number(entry.firstLine) !== attempt.nextLine)
        this.violations.push(`line ${entry.firstLine} was stored after ${attempt.nextLine - 1}`);
      attempt.stored.push(entry);
      attempt.nextLine += Number(entry.lineCount);
    }
    push.filled.ring();
    this.changed.ring();
  }
}

/** The id of a job is derived from its request, so that the same request is the same job. */
function jobIdOf({ requestId }: StartJobRequest): string {
  return `started-${requestId}`;
}

/** A lever value as a test writes it. */
export type LeverInit = Extract<
  NonNullable<MessageInitShape<typeof LeverValueSchema>["value"]>,
  { case: "run" | "speed" | "logLevel" | "priority" | "parameters" }
>;

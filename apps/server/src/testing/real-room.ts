import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Client, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  BulkService,
  ChunkLines,
  CommandSchema,
  JobService,
  LiveService,
  LogService,
  RunMode,
  type HoldSchema,
  type JobEntry,
  type JobRecord,
  type JobState,
  type LeverValueSchema,
  type Receipt,
} from "@signalbox/protocol";
import { expect } from "vitest";
import { freePorts, runCommand, runProgram, type Program } from "../../../../scripts/programs.ts";

type Lever = NonNullable<MessageInitShape<typeof LeverValueSchema>["value"]>;

/** What a command says besides its lever. */
interface CommandChoice {
  readonly requestId?: string;
  readonly ifGeneration?: bigint;
  readonly deliverWithinMs?: bigint;
  readonly hold?: MessageInitShape<typeof HoldSchema>;
}

/** Which program a worker process runs, and what its environment has besides. */
interface WorkerChoice {
  readonly program?: string;
  readonly env?: Record<string, string>;
}

/** A server process that can be ended and started again, with processes of the test worker. Disposing kills all. */
export class RealRoom implements AsyncDisposable {
  readonly data: string;
  readonly operatorUrl: string;
  readonly jobs: Client<typeof JobService>;
  readonly bulks: Client<typeof BulkService>;
  readonly logs: Client<typeof LogService>;
  readonly live: Client<typeof LiveService>;
  /** The port for workers. */
  readonly workerPort: number;
  readonly #folder: string;
  readonly #env: Record<string, string>;
  readonly #programs: Program[] = [];
  readonly #connect: () => Transport;
  #server: Program | undefined;

  private constructor(folder: string, data: string, port: number, workerPort: number) {
    this.#folder = folder;
    this.workerPort = workerPort;
    this.data = data;
    this.operatorUrl = `http://127.0.0.1:${port}`;
    this.#env = {
      SIGNALBOX_DATA: data,
      SIGNALBOX_PORT: String(port),
      SIGNALBOX_WORKER_PORT: String(workerPort),
      SIGNALBOX_URL: `http://127.0.0.1:${workerPort}`,
      SIGNALBOX_TOKEN_FILE: join(data, "token"),
      SIGNALBOX_RECORDS: folder,
      SIGNALBOX_BUILT_IN_WORKER: "off",
      SIGNALBOX_OPEN: "off",
    };
    const bearer: Interceptor = (next) => async (request) => {
      request.header.set("authorization", `Bearer ${await this.token()}`);
      return next(request);
    };
    this.#connect = () => createGrpcTransport({ baseUrl: this.#env.SIGNALBOX_URL ?? "", interceptors: [bearer] });
    const transport = this.#connect();
    this.jobs = createClient(JobService, transport);
    this.bulks = createClient(BulkService, transport);
    this.logs = createClient(LogService, transport);
    this.live = createClient(LiveService, transport);
  }

  /** Makes a room; `data` is the server's folder, if it is not to be a new one. Nothing runs yet. */
  static async open(data?: string): Promise<RealRoom> {
    const folder = await mkdtemp(join(tmpdir(), "signalbox-room-"));
    const [port = 0, workerPort = 0] = await freePorts(2);
    return new RealRoom(folder, data ?? join(folder, "data"), port, workerPort);
  }

  /** Starts the server, below `wrap` if it is given. Resolves when it prints its link. */
  async start(wrap: readonly string[] = []): Promise<Program> {
    const [command = process.execPath, ...args] = [...wrap, process.execPath, "apps/server/src/main.ts"];
    const server = runCommand(command, args, this.#env);
    this.#programs.push(server);
    this.#server = server;
    await server.printed(/#code=\S+/);
    return server;
  }

  /** The server process. */
  get server(): Program {
    if (!this.#server) throw new Error("the server was not started");
    return this.#server;
  }

  /** Starts a worker process with the jobs of e2e/programs/test-worker.ts, or of another program. */
  async worker(id: string, { program = "test-worker", env = {} }: WorkerChoice = {}): Promise<Program> {
    const worker = runProgram(`e2e/programs/${program}.ts`, { ...this.#env, SIGNALBOX_WORKER_ID: id, ...env });
    this.#programs.push(worker);
    await worker.printed(/started/);
    return worker;
  }

  /** Clients with connections of their own. */
  moreConnections(count: number): Client<typeof JobService>[] {
    return Array.from({ length: count }, () => createClient(JobService, this.#connect()));
  }

  async token(): Promise<string> {
    return (await readFile(join(this.data, "token"), "utf8")).trim();
  }

  /** Starts a job that prints so many lines a second; with PAUSE it waits until it is told to run. */
  async lines(perSecond: number, mode: RunMode = RunMode.RUN): Promise<string> {
    await this.offered("lines");
    const { job } = await this.jobs.startJob({
      requestId: randomUUID(),
      type: "lines",
      parameters: { per_second: perSecond },
      levers: [{ value: { case: "run", value: { mode } } }],
    });
    return job?.id ?? "";
  }

  /** Starts a job, as soon as its type is known. */
  async startJob(type: string, parameters: JsonObject = {}): Promise<string> {
    await this.offered(type);
    const { job } = await this.jobs.startJob({ requestId: randomUUID(), type, parameters });
    return job?.id ?? "";
  }

  /** Resolves when a worker offers the type. */
  async offered(type: string): Promise<void> {
    await expect
      .poll(async () => (await this.jobs.listJobTypes({})).types.map((each) => each.type?.name), { timeout: 30_000 })
      .toContain(type);
  }

  /** Sets a lever, and returns its generation. */
  async set(jobId: string, lever: Lever, more: CommandChoice = {}): Promise<bigint> {
    const { requestId = randomUUID(), ...rest } = more;
    const command = create(CommandSchema, { action: { case: "set", value: { value: lever } }, ...rest });
    return (await this.jobs.sendCommand({ requestId, jobId, command })).generation;
  }

  /** The receipt of a command, if the job's record still has it. */
  async receipt(jobId: string, generation: bigint): Promise<Receipt | undefined> {
    return (await this.jobs.getJob({ jobId })).job?.receipts.find((each) => each.generation === generation);
  }

  /** All entries of a job's history. */
  async history(jobId: string): Promise<JobEntry[]> {
    const stop = new AbortController();
    const entries: JobEntry[] = [];
    const subscriptions = [{ id: "job", kind: { case: "job" as const, value: { jobId } } }];
    try {
      for await (const { message } of this.live.watch({ subscriptions }, { signal: stop.signal })) {
        if (message.case === "entries") entries.push(...message.value.entries);
        if (message.case === "caughtUp") break;
      }
    } finally {
      stop.abort();
    }
    return entries;
  }

  /** What e2e/programs/journal-worker.ts has written of a job: 'ATTEMPT WORD' by line. */
  async journal(jobId: string): Promise<string[]> {
    const lines = await this.wholeJournal();
    return lines.flatMap((line) => (line.startsWith(`${jobId} `) ? [line.slice(jobId.length + 1)] : []));
  }

  /** The same of all jobs: 'JOB ATTEMPT WORD' by line. */
  async wholeJournal(): Promise<string[]> {
    const text = await readFile(join(this.#folder, "journal.txt"), "utf8").catch(() => "");
    return text.split("\n").slice(0, -1);
  }

  /** How many lines of a job are stored. */
  async stored(jobId: string): Promise<number> {
    return Number((await this.jobs.getJob({ jobId })).vitals?.lines ?? 0n);
  }

  /** Commands a job to end. */
  async cancel(jobId: string): Promise<void> {
    const command = create(CommandSchema, {
      action: { case: "set", value: { value: { case: "run", value: { mode: RunMode.CANCEL, graceMs: 5_000 } } } },
    });
    await this.jobs.sendCommand({ requestId: randomUUID(), jobId, command });
  }

  /** Resolves when the job has that state. */
  async state(jobId: string, state: JobState): Promise<JobRecord> {
    const get = async () => (await this.jobs.getJob({ jobId })).job;
    await expect.poll(async () => (await get())?.state, { timeout: 60_000 }).toBe(state);
    const job = await get();
    if (!job) throw new Error("no job");
    return job;
  }

  /** What is stored of a job's log. */
  async text(jobId: string): Promise<Buffer> {
    const blobs: Uint8Array[] = [];
    for (let fromLine = 1n; ;) {
      const { entries, endLine } = await this.logs.readLogs({ jobId, fromLine });
      for (const { entry, nextLine } of entries) {
        if (entry.case === "chunk") blobs.push(new ChunkLines(entry.value).blob());
        fromLine = nextLine;
      }
      if (entries.length === 0 || fromLine >= endLine) return Buffer.concat(blobs);
    }
  }

  /** Expects that what is stored of a job that has ended is what it printed, byte for byte. */
  async expectWhole(jobId: string): Promise<number> {
    const text = await this.text(jobId);
    const printed: unknown = JSON.parse(await readFile(join(this.#folder, `${jobId}.json`), "utf8"));
    expect({ sha256: createHash("sha256").update(text).digest("hex"), bytes: text.length }).toEqual(printed);
    return text.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs) await program.kill("SIGKILL");
    await rm(this.#folder, { recursive: true, force: true });
  }
}

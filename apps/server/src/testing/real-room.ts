import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  ChunkLines,
  CommandSchema,
  JobService,
  LiveService,
  LogService,
  RunMode,
  type JobRecord,
  type JobState,
} from "@signalbox/protocol";
import { expect } from "vitest";
import { freePorts, runCommand, runProgram, type Program } from "../../../../scripts/programs.ts";

/** A server process that can be ended and started again, with processes of the test worker. Disposing kills all. */
export class RealRoom implements AsyncDisposable {
  readonly data: string;
  readonly operatorUrl: string;
  readonly jobs: Client<typeof JobService>;
  readonly logs: Client<typeof LogService>;
  readonly live: Client<typeof LiveService>;
  readonly #folder: string;
  readonly #env: Record<string, string>;
  readonly #programs: Program[] = [];
  #server: Program | undefined;

  private constructor(folder: string, data: string, port: number, workerPort: number) {
    this.#folder = folder;
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
    const transport = createGrpcTransport({ baseUrl: this.#env.SIGNALBOX_URL ?? "", interceptors: [bearer] });
    this.jobs = createClient(JobService, transport);
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

  /** Starts a worker process with the jobs of e2e/programs/test-worker.ts. */
  async worker(id: string): Promise<Program> {
    const worker = runProgram("e2e/programs/test-worker.ts", { ...this.#env, SIGNALBOX_WORKER_ID: id });
    this.#programs.push(worker);
    await worker.printed(/started/);
    return worker;
  }

  async token(): Promise<string> {
    return (await readFile(join(this.data, "token"), "utf8")).trim();
  }

  /** Starts a job that prints so many lines a second; with PAUSE it waits until it is told to run. */
  async lines(perSecond: number, mode: RunMode = RunMode.RUN): Promise<string> {
    await expect
      .poll(async () => (await this.jobs.listJobTypes({})).types.map(({ type }) => type?.name), { timeout: 30_000 })
      .toContain("lines");
    const { job } = await this.jobs.startJob({
      requestId: randomUUID(),
      type: "lines",
      parameters: { per_second: perSecond },
      levers: [{ value: { case: "run", value: { mode } } }],
    });
    return job?.id ?? "";
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

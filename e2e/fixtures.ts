import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, type JsonObject } from "@bufbuild/protobuf";
import { createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { test as base, expect, type Page } from "@playwright/test";
import type { JobState, RunMode } from "@signalbox/protocol";
import {
  ChunkLines,
  CommandSchema,
  JobService,
  LiveService,
  LogService,
  type JobRecord,
  type Vitals,
} from "@signalbox/protocol";
import { freePorts, runProgram, type Program } from "../scripts/programs.ts";

/** Real logs of real systems; not part of the repository. */
export const realLogs =
  process.env["SIGNALBOX_REAL_LOGS"] ?? fileURLToPath(new URL("../../shared/logs", import.meta.url));

/** A real server process with a data folder of its own, and clients that speak gRPC to it. */
export class Signalbox {
  readonly folder: string;
  readonly origin: string;
  readonly workerUrl: string;
  readonly jobs: Client<typeof JobService>;
  readonly logs: Client<typeof LogService>;
  readonly live: Client<typeof LiveService>;
  readonly #env: Record<string, string>;
  readonly #workers = new Set<Program>();
  #server: Program | undefined;

  constructor(folder: string, port: number, workerPort: number, env: Record<string, string>) {
    this.folder = folder;
    this.origin = `http://localhost:${port}`;
    this.workerUrl = `http://127.0.0.1:${workerPort}`;
    this.#env = {
      SIGNALBOX_DATA: join(folder, "data"),
      SIGNALBOX_PORT: String(port),
      SIGNALBOX_WORKER_PORT: String(workerPort),
      SIGNALBOX_BUILT_IN_WORKER: "off",
      SIGNALBOX_OPEN: "off",
      ...env,
    };
    const bearer: Interceptor = (next) => async (request) => {
      request.header.set("authorization", `Bearer ${await readFile(join(folder, "data", "token"), "utf8")}`.trim());
      return next(request);
    };
    const transport = createGrpcTransport({ baseUrl: this.workerUrl, interceptors: [bearer] });
    this.jobs = createClient(JobService, transport);
    this.logs = createClient(LogService, transport);
    this.live = createClient(LiveService, transport);
  }

  /** Starts the server; after `kill` again, on the same folder and ports. Resolves when it prints its link. */
  async start(): Promise<void> {
    this.#server = runProgram("apps/server/src/main.ts", this.#env);
    await this.#server.printed(/#code=\S+/);
  }

  /** Where workers on this machine keep what the server does not have yet. */
  get spool(): string {
    return join(this.folder, "data", "spool");
  }

  /** The server process. */
  get server(): Program {
    if (!this.#server) throw new Error("the server was not started");
    return this.#server;
  }

  /** Opens a page, signed in with a fresh one-time link, at `path`. */
  async open(page: Page, path = "/"): Promise<void> {
    const token = (await readFile(join(this.folder, "data", "token"), "utf8")).trim();
    const response = await fetch(`${this.origin}/auth/link`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
    });
    const { url } = (await response.json()) as { url: string };
    await page.goto(url);
    await expect(page.getByRole("heading", { name: "Jobs" })).toBeVisible();
    if (path !== "/") await page.goto(`${this.origin}${path}`);
  }

  /** Starts a process of the test worker. `env` is added to its environment. */
  async worker(id: string, env: Record<string, string> = {}): Promise<Program> {
    const worker = runProgram("e2e/programs/test-worker.ts", {
      SIGNALBOX_URL: this.workerUrl,
      SIGNALBOX_TOKEN_FILE: join(this.folder, "data", "token"),
      SIGNALBOX_WORKER_ID: id,
      SIGNALBOX_RECORDS: this.folder,
      SIGNALBOX_SPOOL_DIR: this.spool,
      ...env,
    });
    this.#workers.add(worker);
    await worker.printed(/started/);
    return worker;
  }

  /** Starts a job, once its type is known. */
  async startJob(type: string, parameters: JsonObject = {}, name = type): Promise<string> {
    await expect
      .poll(async () => (await this.jobs.listJobTypes({})).types.map((each) => each.type?.name))
      .toContain(type);
    const { job } = await this.jobs.startJob({ requestId: randomUUID(), type, name, parameters });
    return job?.id ?? "";
  }

  async job(jobId: string): Promise<{ record: JobRecord; vitals: Vitals | undefined }> {
    const { job, vitals } = await this.jobs.getJob({ jobId });
    if (!job) throw new Error(`no job ${jobId}`);
    return { record: job, vitals };
  }

  /** Waits until the job is in a state. */
  async state(jobId: string, state: JobState, timeout = 60_000): Promise<JobRecord> {
    await expect.poll(async () => (await this.job(jobId)).record.state, { timeout }).toBe(state);
    return (await this.job(jobId)).record;
  }

  /** Sets the run lever. */
  async run(jobId: string, mode: RunMode): Promise<void> {
    await this.jobs.sendCommand({
      requestId: randomUUID(),
      jobId,
      command: create(CommandSchema, {
        action: { case: "set", value: { value: { case: "run", value: { mode, graceMs: 5000 } } } },
      }),
    });
  }

  /** All bytes of an attempt by ReadLogs, with every line number checked to be the next one. */
  async text(jobId: string, attempt = 1): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    let fromLine = 1n;
    for (;;) {
      const read = await this.logs.readLogs({ jobId, attempt, fromLine });
      for (const { entry } of read.entries) {
        if (entry.case !== "chunk") continue;
        const lines = new ChunkLines(entry.value);
        expect(BigInt(lines.firstLine)).toBe(fromLine);
        fromLine = BigInt(lines.nextLine);
        parts.push(lines.blob());
      }
      expect(fromLine).toBe(read.nextLine);
      if (read.nextLine >= read.endLine) return Buffer.concat(parts);
    }
  }

  /** What a worker recorded of a job that has ended. */
  async recorded(jobId: string): Promise<{ sha256: string; bytes: number }> {
    return JSON.parse(await readFile(join(this.folder, `${jobId}.json`), "utf8")) as { sha256: string; bytes: number };
  }

  async stop(): Promise<void> {
    for (const worker of this.#workers) await worker.kill("SIGKILL");
    this.#server?.process.kill("SIGCONT");
    await this.#server?.kill("SIGTERM");
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Playwright's `test` with a running server. `env` changes its settings. */
export const test = base.extend<{ env: Record<string, string>; signalbox: Signalbox }>({
  env: [{}, { option: true }],
  signalbox: async ({ env }, use) => {
    const folder = await mkdtemp(join(tmpdir(), "signalbox-e2e-"));
    const [port = 0, workerPort = 0] = await freePorts(2);
    const signalbox = new Signalbox(folder, port, workerPort, env);
    await signalbox.start();
    await use(signalbox);
    await signalbox.stop();
    await rm(folder, { recursive: true, force: true });
  },
});

export { expect };

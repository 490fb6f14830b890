import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { runProgram, type Program } from "../../../../scripts/programs.ts";
import { authenticateMachines } from "../auth/authenticate.ts";
import { createMetrics } from "../http/metrics.ts";
import { servePlainStream } from "../http/plain-stream.ts";
import { token } from "../http/test-listeners.ts";
import { createWorkerListener } from "../http/worker-listener.ts";
import { createLogger } from "../logger.ts";
import { errorInterceptor, errorsOf } from "../rpc/errors.ts";
import type { TestRoom } from "./open-test-room.ts";

/** A real port of a test room, whose clocks a test puts forward, with real worker processes on it. Disposing kills them. */
export class WorkerPort implements AsyncDisposable {
  /** Where workers put what they record. */
  readonly folder: string;
  /** What a program needs to find the room. */
  readonly env: Record<string, string>;
  readonly programs: Program[] = [];
  readonly #room: TestRoom;
  readonly #stop: () => Promise<void>;

  private constructor(room: TestRoom, folder: string, port: number, stop: () => Promise<void>) {
    this.#room = room;
    this.#stop = stop;
    this.folder = folder;
    this.env = {
      SIGNALBOX_URL: `http://127.0.0.1:${port}`,
      SIGNALBOX_TOKEN_FILE: join(folder, "token"),
      SIGNALBOX_RECORDS: folder,
      SIGNALBOX_SPOOL: "off",
      HOME: folder,
      XDG_CONFIG_HOME: folder,
    };
  }

  static async open(room: TestRoom): Promise<WorkerPort> {
    const logger = createLogger({ level: "silent", readable: false });
    const folder = await mkdtemp(join(tmpdir(), "signalbox-port-"));
    const { domain } = room.domain;
    const errors = errorsOf(logger, "PushLogs");
    const listener = createWorkerListener({
      listen: { host: "loopback", port: 0 },
      logger,
      metrics: createMetrics(),
      interceptors: [errorInterceptor(logger)],
      routes: domain.workerRoutes,
      plainCalls: (server, access) =>
        servePlainStream(server, domain.plainPushLogs, access, (error) => errors(error, access.shutdown)),
      authenticate: authenticateMachines(token),
      origin: () => "http://localhost",
    });
    await listener.start();
    await writeFile(join(folder, "token"), token);
    return new WorkerPort(room, folder, listener.port, () => listener.stop());
  }

  /** Starts a process of e2e/programs/test-worker.ts, or of another program. Resolves when it is connected. */
  async startWorker(workerId: string, program = "test-worker"): Promise<Program> {
    const worker = runProgram(`e2e/programs/${program}.ts`, { ...this.env, SIGNALBOX_WORKER_ID: workerId });
    this.programs.push(worker);
    await worker.printed(/started/);
    const { workers } = this.#room.domain.domain;
    await expect.poll(() => workers.isConnected(workerId), { timeout: 60_000 }).toBe(true);
    return worker;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.programs) {
      await program.kill("SIGCONT");
      await program.kill("SIGKILL");
    }
    await this.#stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

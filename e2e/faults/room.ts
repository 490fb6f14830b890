import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { CommandSchema, JobState, RunMode } from "@signalbox/protocol";
import { freePorts, runProgram, type Program } from "../../scripts/programs.ts";
import { programClients, type ProgramClients } from "./clients.ts";
import { makeContent, type Content } from "./content.ts";
import { OracleClient } from "./oracle-client.ts";
import type { Plant } from "./plants.ts";
import { FaultProxy } from "./proxy.ts";
import type { Told } from "./testimony.ts";
import { until } from "./until.ts";

/** A job that the fault worker runs, or ran when it was killed. */
export interface PrintedJob {
  readonly id: string;
  readonly content: Content;
  /** Its worker was killed while it ran, so that what was not acknowledged may be gone. */
  wasKilled: boolean;
  /** The number after the last line that the killed worker left in its spool; 0: none. */
  spooledNext: number;
}

/** A worker, by its name: the process changes. */
export interface Seat {
  readonly name: string;
  /** Between the worker and the server. */
  readonly proxy: FaultProxy;
  /** Milliseconds in here are what its clock is ahead. */
  readonly clockFile: string;
  readonly perSecond: number;
  readonly plain: boolean;
  program: Program;
  job: PrintedJob;
}

/** What a room is made of. */
export interface RoomOptions {
  /** What the jobs print depends on it. */
  readonly seed: number;
  /** A fault that is planted in the server. */
  readonly plant?: Plant;
  /** Clocks can be set. */
  readonly clocks?: boolean;
}

/**
 * A real server, real workers that print known lines and the oracle that they tell, each a process of its own, and proxies between
 * them. A data folder, ports and all else are its own.
 */
export class Room {
  readonly folder: string;
  readonly port: number;
  readonly oracle: OracleClient;
  readonly seats: Seat[] = [];
  /** Every job that was ever started. */
  readonly jobs: PrintedJob[] = [];
  /** Programs that see what is stored, past all proxies. */
  readonly clients: ProgramClients;
  /** Between readers and the server. */
  readonly outside: FaultProxy;
  readonly #workerPort: number;
  readonly #options: RoomOptions;
  readonly #oracleProgram: Program;
  #server: Program | undefined;
  #seeds: number;

  private constructor(
    folder: string,
    ports: readonly [number, number],
    outside: FaultProxy,
    oracle: { program: Program; client: OracleClient },
    options: RoomOptions,
  ) {
    this.folder = folder;
    [this.port, this.#workerPort] = ports;
    this.outside = outside;
    this.oracle = oracle.client;
    this.#oracleProgram = oracle.program;
    this.#options = options;
    this.#seeds = options.seed * 1000;
    this.clients = programClients(this.#workerPort, this.tokenFile);
  }

  /** Opens a room with a server that listens and no worker yet. */
  static async open(options: RoomOptions): Promise<Room> {
    const folder = await mkdtemp(join(tmpdir(), "signalbox-faults-"));
    const [port = 0, workerPort = 0] = await freePorts(2);
    const socket = join(folder, "oracle.sock");
    const program = runProgram("e2e/faults/oracle.ts", {}, [socket, join(folder, "oracle.ndjson")]);
    await program.printed(/listening/);
    const client = await OracleClient.open(socket);
    const room = new Room(folder, [port, workerPort], await FaultProxy.open(port), { program, client }, options);
    await writeFile(room.clockFile, "0");
    await room.startServer();
    return room;
  }

  get tokenFile(): string {
    return join(this.folder, "data", "token");
  }

  /** Milliseconds in here are what the server's clock is ahead. */
  get clockFile(): string {
    return join(this.folder, "server-clock");
  }

  get origin(): string {
    return `http://localhost:${this.port}`;
  }

  get server(): Program {
    if (!this.#server) throw new Error("the server was not started");
    return this.#server;
  }

  /** Starts the server; after a kill again, on the same folder and ports. */
  async startServer(): Promise<void> {
    const { plant, clocks } = this.#options;
    this.#server = runProgram("apps/server/src/main.ts", {
      SIGNALBOX_DATA: join(this.folder, "data"),
      SIGNALBOX_PORT: String(this.port),
      SIGNALBOX_WORKER_PORT: String(this.#workerPort),
      SIGNALBOX_BUILT_IN_WORKER: "off",
      SIGNALBOX_OPEN: "off",
      SIGNALBOX_LOG_LEVEL: "warn",
      FAULT_CLOCK: this.clockFile,
      ...(plant && { FAULT_PLANT: plant.name }),
      NODE_OPTIONS: importing(clocks && "set-clock.ts", plant && "plant-on-load.ts"),
    });
    await this.#server.printed(/#code=\S+/);
    if (plant) await this.#server.printed(/^planted: /m);
  }

  /** Adds a worker with a job that prints. Resolves when the job runs. */
  async addSeat({ perSecond, plain = false }: { perSecond: number; plain?: boolean }): Promise<Seat> {
    const name = `worker-${this.seats.length + 1}`;
    const proxy = await FaultProxy.open(this.#workerPort);
    const clockFile = join(this.folder, `${name}-clock`);
    await writeFile(clockFile, "0");
    const base = { name, proxy, clockFile, perSecond, plain };
    const program = await this.#startWorker(base);
    const seat: Seat = { ...base, program, job: await this.#startJob(base) };
    this.seats.push(seat);
    return seat;
  }

  /** Starts the worker of a seat whose process was killed, and a new job on it. */
  async reseat(seat: Seat): Promise<void> {
    seat.program = await this.#startWorker(seat);
    seat.job = await this.#startJob(seat);
  }

  /** How far the server's wall clock is ahead of this process's, milliseconds. */
  async serverAheadMs(): Promise<number> {
    const request = { subscriptions: [{ id: "jobs", kind: { case: "jobs" as const, value: {} } }] };
    for await (const { message } of this.clients.live.watch(request))
      if (message.case === "hello") return Number(message.value.serverTimeUs) / 1000 - Date.now();
    throw new Error("the server has not said hello");
  }

  /** Where the worker of a seat keeps lines on disk. */
  spoolOf({ name }: Pick<Seat, "name">): string {
    return join(this.folder, name, "spool");
  }

  /** What the oracle was told, by job. */
  async told(): Promise<Map<string, Told>> {
    return new Map((await this.oracle.told()).map((told) => [told.job, told]));
  }

  /** Resolves when everything that was printed by now in all running jobs is acknowledged, and something was. */
  async progress(withinMs = 60_000): Promise<void> {
    const before = await until("every job prints", async () => {
      const told = await this.told();
      return this.seats.every(({ job }) => (told.get(job.id)?.printed ?? 1) > 1) && told;
    });
    await until(
      "what was printed is acknowledged",
      async () => {
        const now = await this.told();
        return this.seats.every(
          ({ job: { id } }) => (now.get(id)?.acknowledged ?? 0) >= (before.get(id)?.printed ?? 0),
        );
      },
      withinMs,
    );
  }

  /** Cancels all running jobs. Resolves when the server has their last lines and their ends. */
  async endJobs(): Promise<void> {
    for (const { job } of this.seats) {
      const requestId = randomUUID();
      const run = { mode: RunMode.CANCEL, graceMs: 30_000 };
      const command = create(CommandSchema, { action: { case: "set", value: { value: { case: "run", value: run } } } });
      await until("a job is told to end", () => this.clients.jobs.sendCommand({ requestId, jobId: job.id, command }));
    }
    for (const { job } of this.seats) {
      await until(
        "the last lines of a job arrive and it ends",
        async () => (await this.clients.jobs.getJob({ jobId: job.id })).job?.state === JobState.CANCELED,
        180_000,
      );
    }
  }

  /** What the processes that run now have printed, for people who look for what went wrong. */
  outputs(): { name: string; output: string }[] {
    const workers = this.seats.map(({ name, program }) => ({ name, output: program.output() }));
    return [{ name: "the server", output: this.server.output() }, ...workers];
  }

  /** Ends every process and removes the folder. */
  async close(): Promise<void> {
    this.outside.close();
    for (const { program, proxy } of this.seats) {
      proxy.close();
      await program.kill("SIGKILL");
    }
    await this.#server?.kill("SIGKILL");
    this.oracle.close();
    await this.#oracleProgram.kill("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }

  async #startWorker({ name, proxy, clockFile }: Pick<Seat, "name" | "proxy" | "clockFile">): Promise<Program> {
    // Its own home, so that it finds there what the process before it has left, and nothing of anybody else.
    const home = join(this.folder, name);
    await mkdir(home, { recursive: true });
    const program = runProgram("e2e/faults/fault-worker.ts", {
      SIGNALBOX_URL: `http://127.0.0.1:${proxy.port}`,
      SIGNALBOX_TOKEN_FILE: this.tokenFile,
      SIGNALBOX_WORKER_ID: name,
      SIGNALBOX_DATA: home,
      FAULT_ORACLE: join(this.folder, "oracle.sock"),
      FAULT_CLOCK: clockFile,
      NODE_OPTIONS: importing(this.#options.clocks && "set-clock.ts"),
    });
    await program.printed(/started/);
    return program;
  }

  async #startJob({ name, perSecond, plain }: Pick<Seat, "name" | "perSecond" | "plain">): Promise<PrintedJob> {
    const seed = ++this.#seeds;
    const requestId = randomUUID();
    const parameters = { seed, per_second: perSecond, plain };
    // The server refuses a name that it has not heard of yet.
    const { job } = await until("a job is started", () =>
      this.clients.jobs.startJob({ requestId, type: "numbered", parameters, workerId: name }),
    );
    if (!job) throw new Error("a job that was started has a record");
    const printed = { id: job.id, content: makeContent(seed, plain), wasKilled: false, spooledNext: 0 };
    this.jobs.push(printed);
    return printed;
  }
}

/** NODE_OPTIONS for a program that begins with those files of this folder that are named. */
function importing(...files: readonly (string | false | undefined)[]): string {
  return files.flatMap((file) => (file ? [`--import ${new URL(file, import.meta.url).href}`] : [])).join(" ");
}

import { createConnection } from "node:net";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { JobService, JobState } from "@signalbox/protocol";
import { freePorts, runCommand, runProgram } from "../../../scripts/programs.ts";
import { cpuSeconds } from "./process-cost.ts";
import { quantile } from "./statistics.ts";

// How long a killed server takes to come back with a large store. Run on its own:
// node packages/bench/src/start-up.ts [GiB] [jobs] [rounds]

/** How long a server takes from its start on a store that was killed; milliseconds. */
export interface StartTimes {
  /** Until both ports take connections. */
  readonly listening: number;
  /** Until a call was answered that reads. */
  readonly answered: number;
  /** Until a command was stored. */
  readonly stored: number;
  /** What all its threads used of the processors until then. */
  readonly cpu: number;
  /** Bytes of the write-ahead logs that a kill left. */
  readonly walBytes: number;
}

/**
 * Makes a store with so many bytes of lines and so many jobs, then kills a process in the middle of commits and starts a server on what it
 * left, `rounds` times. Returns the median of each figure.
 */
export async function measureStart(logBytes: number, jobs: number, rounds: number): Promise<StartTimes> {
  const folder = await mkdtemp(join(tmpdir(), "signalbox-start-"));
  try {
    await killInTheMiddle(folder, logBytes, jobs);
    return await timeStarts(folder, rounds);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The same on a store that is there already. */
export async function timeStarts(folder: string, rounds: number): Promise<StartTimes> {
  const [port = 0, workerPort = 0] = await freePorts(2);
  // The first start makes the keys and the cache of compiled modules: no server that was killed is without them.
  await startOnce(folder, port, workerPort, "warm");
  const times: StartTimes[] = [];
  for (let round = 0; round < rounds; round++) {
    await killInTheMiddle(folder, 0, 0);
    const walBytes = await walBytesIn(folder);
    times.push({ ...(await startOnce(folder, port, workerPort, `round-${round}`)), walBytes });
  }
  const median = (figure: keyof StartTimes) =>
    quantile(
      times.map((each) => each[figure]).sort((a, b) => a - b),
      0.5,
    );
  return {
    listening: median("listening"),
    answered: median("answered"),
    stored: median("stored"),
    cpu: median("cpu"),
    walBytes: median("walBytes"),
  };
}

/** Adds to a store, and kills the process that does so in the middle of commits. */
async function killInTheMiddle(folder: string, logBytes: number, jobs: number): Promise<void> {
  const program = ["apps/server/src/testing/fill-store.ts", folder, String(logBytes), String(jobs)];
  const filling = runCommand(process.execPath, program, {});
  await filling.printed(/filled/);
  await delay(1_000);
  await filling.kill("SIGKILL");
}

async function startOnce(folder: string, port: number, workerPort: number, id: string) {
  const startedAt = performance.now();
  const since = () => performance.now() - startedAt;
  const server = runProgram("apps/server/src/main.ts", {
    SIGNALBOX_DATA: folder,
    SIGNALBOX_PORT: String(port),
    SIGNALBOX_WORKER_PORT: String(workerPort),
    SIGNALBOX_BUILT_IN_WORKER: "off",
    SIGNALBOX_OPEN: "off",
    SIGNALBOX_LOG_LEVEL: "warn",
  });
  try {
    await Promise.all([untilListening(port), untilListening(workerPort)]);
    const listening = since();
    const token = (await readFile(join(folder, "token"), "utf8")).trim();
    const bearer: Interceptor = (next) => (request) => {
      request.header.set("authorization", `Bearer ${token}`);
      return next(request);
    };
    const baseUrl = `http://127.0.0.1:${workerPort}`;
    const client = createClient(JobService, createGrpcTransport({ baseUrl, interceptors: [bearer] }));
    const { jobs } = await client.listJobs({ pageSize: 1, states: [JobState.CANCELED] });
    const answered = since();
    await client.retryJob({ requestId: id, jobId: jobs[0]?.id ?? "" });
    const stored = since();
    const cpu = cpuSeconds(server.process.pid ?? 0) * 1000;
    await server.printed(/#code=/);
    return { listening, answered, stored, cpu };
  } finally {
    await server.kill("SIGKILL");
  }
}

async function untilListening(port: number): Promise<void> {
  for (;;) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = createConnection({ port, host: "127.0.0.1" });
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (isOpen) return;
    await delay(5);
  }
}

async function walBytesIn(folder: string): Promise<number> {
  const sizes = await Promise.all(["state.db-wal", "logs.db-wal"].map((file) => stat(join(folder, file))));
  return sizes.reduce((sum, { size }) => sum + size, 0);
}

if (import.meta.main) {
  const [gibibytes = 10, jobs = 10_000, rounds = 5] = process.argv.slice(2).map(Number);
  const times = await measureStart(gibibytes * 1024 ** 3, jobs, rounds);
  console.log(
    `${gibibytes} GiB of lines, ${jobs.toLocaleString("en")} jobs, killed with ${Math.round(times.walBytes / 1e6)} MB of write-ahead log; median of ${rounds} starts:`,
    `both ports open after ${Math.round(times.listening)} ms, first answer after ${Math.round(times.answered)} ms, first command stored after ${Math.round(times.stored)} ms, ${Math.round(times.cpu)} ms of processor time`,
  );
}

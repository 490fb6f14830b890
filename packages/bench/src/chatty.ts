import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { runProgram, type Program } from "../../../scripts/programs.ts";
import { cpuSeconds, memory } from "./process-cost.ts";
import { startSignalbox } from "./signalbox-process.ts";
import { tempFolder } from "./temp-folder.ts";

/** What many workers with few lines each cost a server. */
export interface ChattyCost {
  /** Share of one core that the server used, all its threads. */
  readonly serverCore: number;
  /** Share of one core that the workers' process used. */
  readonly workersCore: number;
  readonly linesPerSecond: number;
  /** From the line to its acknowledgement, milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Lines that waited for their acknowledgement at the end: many mean that the server does not keep up. */
  readonly unacknowledged: number;
  /** Bytes of memory that the server held. */
  readonly serverBytes: number;
}

/** How many workers, on connections of their own, print how much. */
export interface ChattyLoad {
  readonly workers: number;
  /** Lines a second of each, evenly spread. */
  readonly perSecond: number;
  readonly seconds: number;
}

interface Result {
  readonly linesPerSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpu: number;
  readonly unacknowledged: number;
}

/** What the load costs the product. */
export async function measureChatty(load: ChattyLoad): Promise<ChattyCost> {
  await using signalbox = await startSignalbox();
  const program = startWorkers(signalbox.workerUrl, signalbox.tokenFile, load);
  try {
    await program.printed(/started/);
    for (let i = 0; i < load.workers; i++) await signalbox.startJob("chatty");
    return await measure(program, signalbox.pid, load);
  } finally {
    await program.kill("SIGKILL");
  }
}

/** What the load costs a bare node:http2 server that parses and stores nothing and answers each message. */
export async function measureHttp2Floor(load: ChattyLoad): Promise<ChattyCost> {
  await using folder = await tempFolder();
  const tokenFile = join(folder.path, "token");
  await writeFile(tokenFile, "none");
  const server = runProgram("packages/bench/src/http2-floor.ts", { ACKS: "100000" });
  const [, port] = await server.printed(/port (\d+)/);
  const program = startWorkers(`http://127.0.0.1:${port}`, tokenFile, load);
  try {
    return await measure(program, server.process.pid ?? 0, load);
  } finally {
    await Promise.all([program.kill("SIGKILL"), server.kill("SIGKILL")]);
  }
}

function startWorkers(url: string, tokenFile: string, { workers, perSecond, seconds }: ChattyLoad): Program {
  return runProgram("packages/bench/src/chatty-workers.ts", {
    SIGNALBOX_URL: url,
    SIGNALBOX_TOKEN_FILE: tokenFile,
    WORKERS: String(workers),
    LINES: String(perSecond),
    SECONDS: String(seconds),
  });
}

async function measure(program: Program, pid: number, { seconds }: ChattyLoad): Promise<ChattyCost> {
  await program.printed(/ready/);
  // What starting the jobs has left behind is not what is measured.
  await delay(3000);
  const before = cpuSeconds(pid);
  program.process.kill("SIGUSR2");
  const [, json] = await program.printed(/^result (.*)$/m);
  const { linesPerSecond, p50, p99, cpu, unacknowledged } = JSON.parse(json ?? "") as Result;
  const serverCore = (cpuSeconds(pid) - before) / seconds;
  return { serverCore, workersCore: cpu, linesPerSecond, p50, p99, unacknowledged, serverBytes: memory(pid).now };
}

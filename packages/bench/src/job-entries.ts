import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { readFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  CommandSchema,
  LeverValueSchema,
  RunMode,
  SendCommandRequestSchema,
  SendCommandResponseSchema,
  WatchRequestSchema,
} from "@signalbox/protocol";
import { runProgram } from "../../../scripts/programs.ts";
import { frame, onMessage, openCall } from "./grpc-frames.ts";
import { cpuSeconds } from "./process-cost.ts";
import { startSignalbox, type SignalboxProcess } from "./signalbox-process.ts";
import { quantile } from "./statistics.ts";

// How many entries of jobs a server stores in a second when many jobs are commanded at the same time, and what pages that watch all jobs, or
// one each, cost it. A command on a job that waits is one entry; it is answered when that is on disk. Run on its own:
// node packages/bench/src/job-entries.ts [seconds] [pages]

/** What somebody watches. */
export type Watched = "nobody" | "all jobs" | "a job each";

/** Figures of one part. */
export interface EntryRates {
  /** Entries that were stored and acknowledged, a second. */
  readonly perSecond: number;
  /** From a command to its answer, milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** How much of a processor the server took, all threads. */
  readonly serverCores: number;
  /** Bytes a second that all pages got. */
  readonly watchedBytesPerSecond: number;
}

const jobCount = 200;

/** Commands jobs that wait, each again when the command before is answered, while `pages` watches over gRPC-Web are open. */
export async function measureJobEntries(watched: Watched, pages: number, seconds: number): Promise<EntryRates> {
  await using signalbox = await startSignalbox();
  const env = { SIGNALBOX_URL: signalbox.workerUrl, SIGNALBOX_TOKEN_FILE: signalbox.tokenFile };
  const worker = runProgram("packages/bench/src/load-worker.ts", { ...env, WORKERS: "1" });
  const token = (await readFile(signalbox.tokenFile, "utf8")).trim();
  const session = connectHttp2(signalbox.workerUrl);
  const sockets: Socket[] = [];
  try {
    await worker.printed(/started/);
    const ids = await waitingJobs(signalbox);
    let bytes = 0;
    if (watched !== "nobody")
      for (let page = 0; page < pages; page++)
        sockets.push(
          watch(
            signalbox,
            token,
            watched === "all jobs" ? undefined : ids[page % ids.length],
            (more) => (bytes += more),
          ),
        );
    await delay(500);
    const times: number[] = [];
    let stopped = false;
    const lane = async (jobId: string, lane: number) => {
      for (let i = 0; !stopped; i++) {
        const begin = performance.now();
        await command(session, token, jobId, `${lane}-${i}`, i % 100);
        times.push(performance.now() - begin);
      }
    };
    const lanes = Promise.all(ids.map(lane));
    // What is compiled on the way does not count.
    await delay(2_000);
    times.length = 0;
    bytes = 0;
    const [cpu, begin] = [cpuSeconds(signalbox.pid), performance.now()];
    await delay(seconds * 1_000);
    const [count, tookSeconds] = [times.length, (performance.now() - begin) / 1000];
    const serverCores = (cpuSeconds(signalbox.pid) - cpu) / tookSeconds;
    const watchedBytesPerSecond = bytes / tookSeconds;
    stopped = true;
    await lanes;
    const sorted = times.slice(0, count).sort((a, b) => a - b);
    return {
      perSecond: count / tookSeconds,
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      serverCores,
      watchedBytesPerSecond,
    };
  } finally {
    sockets.forEach((socket) => socket.destroy());
    session.destroy();
    await worker.kill("SIGKILL");
  }
}

/** Jobs that are held in the queue. */
async function waitingJobs(signalbox: SignalboxProcess): Promise<string[]> {
  await signalbox.startJob("idle");
  const held = create(LeverValueSchema, { value: { case: "run", value: { mode: RunMode.PAUSE } } });
  const start = async (_: unknown, i: number) => {
    const { job } = await signalbox.jobs.startJob({ requestId: `held ${i}`, type: "idle", levers: [held] });
    return job?.id ?? "";
  };
  return Promise.all(Array.from({ length: jobCount }, start));
}

/** Sets the priority of a job. Resolves when that is answered. */
function command(
  session: ReturnType<typeof connectHttp2>,
  token: string,
  jobId: string,
  requestId: string,
  priority: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = openCall(session, token, "SendCommand", "JobService");
    const value = create(LeverValueSchema, { value: { case: "priority", value: { priority } } });
    const set = create(CommandSchema, { action: { case: "set", value } });
    const request = create(SendCommandRequestSchema, { jobId, requestId, command: set });
    let answered = false;
    onMessage(stream, SendCommandResponseSchema, () => (answered = true));
    stream.on("error", reject);
    stream.on("close", () => (answered ? resolve() : reject(new Error("a command was not answered"))));
    stream.end(frame(toBinary(SendCommandRequestSchema, request)));
  });
}

/** A watch of all jobs, or of one, as a page has it: a connection of its own, read as fast as it comes. */
function watch(
  { webUrl }: SignalboxProcess,
  token: string,
  jobId: string | undefined,
  onBytes: (bytes: number) => void,
): Socket {
  const all = { id: "all", kind: { case: "jobs", value: {} } } as const;
  const subscriptions = jobId === undefined ? [all] : [{ id: "one", kind: { case: "job", value: { jobId } } } as const];
  const body = frame(toBinary(WatchRequestSchema, create(WatchRequestSchema, { subscriptions })));
  const { hostname, port } = new URL(webUrl);
  const socket = connect(Number(port), hostname).on("error", () => undefined);
  const head = [
    "POST /signalbox.v1.LiveService/Watch HTTP/1.1",
    "host: localhost",
    "content-type: application/grpc-web+proto",
    `authorization: Bearer ${token}`,
    `content-length: ${body.length}`,
  ];
  socket.write(Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), body]));
  socket.on("data", (data) => onBytes(data.length));
  return socket;
}

if (import.meta.main) {
  const [seconds = "8", pages = "50"] = process.argv.slice(2);
  for (const watched of ["nobody", "a job each", "all jobs"] as const) {
    const { perSecond, p50, p99, serverCores, watchedBytesPerSecond } = await measureJobEntries(
      watched,
      Number(pages),
      Number(seconds),
    );
    console.log(
      `${watched === "nobody" ? "nobody watches" : `${pages} pages watch ${watched}`}: ${Math.round(perSecond).toLocaleString("en")} entries/s, ` +
        `answered in p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)} ms; server ${serverCores.toFixed(2)} cores, ` +
        `pages get ${(watchedBytesPerSecond / 1e6).toFixed(1)} MB/s (load ${loadavg()[0]?.toFixed(1) ?? ""})`,
    );
  }
}

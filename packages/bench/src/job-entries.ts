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
import { frame, onMessage, openCall } from "./grpc-frames.ts";
import { cpuSeconds } from "./process-cost.ts";
import { startSignalbox, type SignalboxProcess } from "./signalbox-process.ts";
import { quantile } from "./statistics.ts";
import { SteeredClient, steeredType } from "./steered-client.ts";

// How many entries of jobs a server stores in a second when many jobs are commanded at the same time, and what pages that watch all jobs, or
// one each, cost it. A command on a running job is three entries: accepted, delivered, applied. On a job that waits it is one, and takes
// effect with it. The call is answered when the first is on disk. Run on its own:
// node packages/bench/src/job-entries.ts [seconds] [pages]

/** What somebody watches. */
export type Watched = "nobody" | "all jobs" | "a job each";

/** The jobs that are commanded. */
export type Commanded = "running" | "waiting";

/** Figures of one part. */
export interface EntryRates {
  /** Entries that were stored, a second. */
  readonly perSecond: number;
  /** Commands that were answered, a second. */
  readonly commandsPerSecond: number;
  /** From a command to its answer, milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** How much of a processor the server took, all threads. */
  readonly serverCores: number;
  /** Bytes a second that all pages got. */
  readonly watchedBytesPerSecond: number;
}

const jobCount = 200;

/** A job, and when its worker obeys a generation. */
interface Commandable {
  readonly id: string;
  readonly obeys: (generation: bigint) => Promise<void>;
}

/** Commands jobs, each again when the command before is answered and told to be applied, while `pages` watches over gRPC-Web are open. */
export async function measureJobEntries(
  commanded: Commanded,
  watched: Watched,
  pages: number,
  seconds: number,
): Promise<EntryRates> {
  await using signalbox = await startSignalbox();
  const token = (await readFile(signalbox.tokenFile, "utf8")).trim();
  const workers = Array.from(
    { length: commanded === "running" ? jobCount : 1 },
    (_, i) => new SteeredClient(signalbox.workerUrl, token, `bench-${i}`),
  );
  const session = connectHttp2(signalbox.workerUrl);
  const sockets: Socket[] = [];
  try {
    const jobs = await (commanded === "running" ? runningJobs(signalbox, workers) : waitingJobs(signalbox));
    let bytes = 0;
    if (watched !== "nobody")
      for (let page = 0; page < pages; page++)
        sockets.push(
          watch(
            signalbox,
            token,
            watched === "all jobs" ? undefined : jobs[page % jobs.length]?.id,
            (more) => (bytes += more),
          ),
        );
    await delay(500);
    const times: number[] = [];
    let stopped = false;
    const lane = async ({ id, obeys }: Commandable, lane: number) => {
      for (let i = 0; !stopped; i++) {
        const begin = performance.now();
        const generation = await command(session, token, id, `${lane}-${i}`, commanded, 1 + (i % 90));
        times.push(performance.now() - begin);
        await obeys(generation);
      }
    };
    const lanes = Promise.all(jobs.map(lane));
    // What is compiled on the way does not count.
    await delay(2_000);
    times.length = 0;
    bytes = 0;
    const [cpu, before, begin] = [cpuSeconds(signalbox.pid), await signalbox.storedEntries(), performance.now()];
    await delay(seconds * 1_000);
    const entries = (await signalbox.storedEntries()) - before;
    const [count, tookSeconds] = [times.length, (performance.now() - begin) / 1000];
    const serverCores = (cpuSeconds(signalbox.pid) - cpu) / tookSeconds;
    const watchedBytesPerSecond = bytes / tookSeconds;
    stopped = true;
    await lanes;
    const sorted = times.slice(0, count).sort((a, b) => a - b);
    return {
      perSecond: entries / tookSeconds,
      commandsPerSecond: count / tookSeconds,
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      serverCores,
      watchedBytesPerSecond,
    };
  } finally {
    sockets.forEach((socket) => socket.destroy());
    session.destroy();
    workers.forEach((worker) => worker.close());
  }
}

/** Jobs that are held in the queue. */
async function waitingJobs(signalbox: SignalboxProcess): Promise<Commandable[]> {
  const held = create(LeverValueSchema, { value: { case: "run", value: { mode: RunMode.PAUSE } } });
  await signalbox.startJob(steeredType);
  const start = async (_: unknown, i: number) => {
    const { job } = await signalbox.jobs.startJob({ requestId: `held ${i}`, type: steeredType, levers: [held] });
    return { id: job?.id ?? "", obeys: () => Promise.resolve() };
  };
  return Promise.all(Array.from({ length: jobCount }, start));
}

/** A job for each worker, running. */
async function runningJobs(signalbox: SignalboxProcess, workers: readonly SteeredClient[]): Promise<Commandable[]> {
  await signalbox.startJob(steeredType);
  for (let i = 1; i < workers.length; i++)
    await signalbox.jobs.startJob({ requestId: `steered ${i}`, type: steeredType });
  return Promise.all(
    workers.map(async (worker) => ({ id: await worker.job, obeys: (generation: bigint) => worker.obeys(generation) })),
  );
}

/** Sets the speed of a running job, or the priority of one that waits. Resolves with the generation when that is answered. */
function command(
  session: ReturnType<typeof connectHttp2>,
  token: string,
  jobId: string,
  requestId: string,
  commanded: Commanded,
  to: number,
): Promise<bigint> {
  return new Promise((resolve, reject) => {
    const stream = openCall(session, token, "SendCommand", "JobService");
    const value = create(LeverValueSchema, {
      value:
        commanded === "running"
          ? { case: "speed", value: { itemsPerSecond: to } }
          : { case: "priority", value: { priority: to } },
    });
    const set = create(CommandSchema, { action: { case: "set", value } });
    const request = create(SendCommandRequestSchema, { jobId, requestId, command: set });
    let answered: bigint | undefined;
    onMessage(stream, SendCommandResponseSchema, ({ generation }) => (answered = generation));
    stream.on("error", reject);
    stream.on("close", () => (answered ? resolve(answered) : reject(new Error("a command was not answered"))));
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
  for (const commanded of ["running", "waiting"] as const)
    for (const watched of ["nobody", "a job each", "all jobs"] as const) {
      const rates = await measureJobEntries(commanded, watched, Number(pages), Number(seconds));
      const whole = (figure: number) => Math.round(figure).toLocaleString("en");
      console.log(
        `jobs ${commanded}, ${watched === "nobody" ? "nobody watches" : `${pages} pages watch ${watched}`}: ${whole(rates.perSecond)} entries/s ` +
          `of ${whole(rates.commandsPerSecond)} commands/s, answered in p50 ${rates.p50.toFixed(1)}, p99 ${rates.p99.toFixed(1)} ms; ` +
          `server ${rates.serverCores.toFixed(2)} cores, pages get ${(rates.watchedBytesPerSecond / 1e6).toFixed(1)} MB/s (load ${loadavg()[0]?.toFixed(1) ?? ""})`,
      );
    }
}

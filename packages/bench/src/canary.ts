import { connect, type Socket } from "node:net";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { JobState, WatchRequestSchema } from "@signalbox/protocol";
import { runProgram, type Program } from "../../../scripts/programs.ts";
import { commandTimes, type CommandTimes } from "./commands.ts";
import { frame } from "./grpc-frames.ts";
import { noises, type Noise } from "./noisy-client.ts";
import { memory } from "./process-cost.ts";
import { startSignalbox, type SignalboxProcess } from "./signalbox-process.ts";
import { summarise } from "./statistics.ts";

// What others do on a server, and what a healthy worker and an operator notice of it. Run on its own:
// node packages/bench/src/canary.ts [rounds] [noise…]

/** Milliseconds. */
export interface CanaryTimes {
  /** From a line to its acknowledgement. */
  readonly ack: CommandTimes;
  /** From a click to the worker's word on a page. */
  readonly command: CommandTimes;
}

/** Times without and with noise, round by round: they follow each other, so that what else the machine does concerns both. */
export interface CanaryResult {
  readonly noise: Noise | "stalled readers";
  readonly quiet: readonly CanaryTimes[];
  readonly noisy: readonly CanaryTimes[];
  /** Most memory that the server held, bytes. */
  readonly serverBytes: number;
}

const commands = 100;
const seconds = 6;
const stalledReaders = 50;

/**
 * Measures a canary beside one noisy worker, or beside readers that take a byte a second of a log that grows. The job that prints that log
 * prints in the quiet rounds, too: what the readers do is measured.
 */
export async function measureCanary(noise: CanaryResult["noise"], rounds: number): Promise<CanaryResult> {
  await using signalbox = await startSignalbox();
  const env = { SIGNALBOX_URL: signalbox.workerUrl, SIGNALBOX_TOKEN_FILE: signalbox.tokenFile };
  const canary = runProgram("packages/bench/src/canary-worker.ts", { ...env, SECONDS: String(seconds) });
  const steered = runProgram("packages/bench/src/load-worker.ts", { ...env, WORKERS: "1" });
  try {
    await Promise.all([canary.printed(/started/), steered.printed(/started/)]);
    await signalbox.startJob("chatty");
    const jobId = await signalbox.startJob("idle");
    while ((await signalbox.jobs.getJob({ jobId })).job?.state !== JobState.RUNNING) await delay(20);
    await canary.printed(/ready/);
    await using log = noise === "stalled readers" ? await printLog(signalbox, env) : undefined;
    const quiet: CanaryTimes[] = [];
    const noisy: CanaryTimes[] = [];
    let results = 0;
    const times = async (): Promise<CanaryTimes> => {
      canary.process.kill("SIGUSR2");
      const command = await commandTimes(signalbox, jobId, commands);
      const [, json = ""] = await canary.printed(new RegExp(`(?:^result (.*)\n[^]*?){${++results}}`, "m"));
      return { ack: JSON.parse(json) as CommandTimes, command };
    };
    await times();
    for (let round = 0; round < rounds; round++) {
      quiet.push(await times());
      await using _noise =
        noise === "stalled readers" ? await readSlowly(signalbox, log?.jobId ?? "") : await make(signalbox, env, noise);
      await delay(1_000);
      noisy.push(await times());
    }
    return { noise, quiet, noisy, serverBytes: memory(signalbox.pid).peak };
  } finally {
    await Promise.all([canary.kill("SIGKILL"), steered.kill("SIGKILL")]);
  }
}

async function make(signalbox: SignalboxProcess, env: Record<string, string>, noise: Noise): Promise<AsyncDisposable> {
  const program = runProgram("packages/bench/src/noisy-worker.ts", { ...env, NOISE: noise });
  await program.printed(/started/);
  await signalbox.startJob("noisy");
  await program.printed(/noise/);
  return { [Symbol.asyncDispose]: () => program.kill("SIGKILL") };
}

/** A job that prints 20,000 lines a second. */
async function printLog(
  signalbox: SignalboxProcess,
  env: Record<string, string>,
): Promise<AsyncDisposable & { readonly jobId: string }> {
  const loud: Program = runProgram("packages/bench/src/load-worker.ts", { ...env, WORKERS: "1" });
  await loud.printed(/started/);
  const jobId = await signalbox.startJob("steady", { per_second: 20_000 });
  return { jobId, [Symbol.asyncDispose]: () => loud.kill("SIGKILL") };
}

/** Readers of a log that take a byte a second each, as a page would over HTTP/1.1. */
async function readSlowly(signalbox: SignalboxProcess, jobId: string): Promise<AsyncDisposable> {
  const sockets = await slowReaders(signalbox, jobId, stalledReaders);
  return {
    [Symbol.asyncDispose]() {
      sockets.forEach((socket) => socket.destroy());
      return Promise.resolve();
    },
  };
}

/** Watches of a job's log that take a byte a second each. */
export async function slowReaders(signalbox: SignalboxProcess, jobId: string, count: number): Promise<Socket[]> {
  const token = (await readFile(signalbox.tokenFile, "utf8")).trim();
  const { hostname, port } = new URL(signalbox.webUrl);
  const body = frame(
    toBinary(
      WatchRequestSchema,
      create(WatchRequestSchema, { subscriptions: [{ id: "log", kind: { case: "log", value: { jobId } } }] }),
    ),
  );
  const head = [
    "POST /signalbox.v1.LiveService/Watch HTTP/1.1",
    "host: localhost",
    "content-type: application/grpc-web+proto",
    `authorization: Bearer ${token}`,
    `content-length: ${body.length}`,
  ];
  return Array.from({ length: count }, () => {
    const socket = connect(Number(port), hostname).on("error", () => undefined);
    socket.write(Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), body]));
    const timer = setInterval(() => void socket.read(1), 1_000);
    socket.on("close", () => clearInterval(timer));
    return socket;
  });
}

if (import.meta.main) {
  const [rounds = "3", ...asked] = process.argv.slice(2);
  const all = [...noises, "stalled readers"] as const;
  for (const noise of all.filter((each) => asked.length === 0 || asked.includes(each))) {
    const { quiet, noisy, serverBytes } = await measureCanary(noise, Number(rounds));
    const middle = (times: readonly CanaryTimes[], which: "ack" | "command", of: "p50" | "p99") =>
      summarise(times.map((each) => each[which][of])).median;
    const words = (["ack", "command"] as const).map((which) => {
      const [before, after] = [middle(quiet, which, "p99"), middle(noisy, which, "p99")];
      const p50 = `p50 ${middle(quiet, which, "p50").toFixed(1)} → ${middle(noisy, which, "p50").toFixed(1)}`;
      return `${which} ${p50}, p99 ${before.toFixed(1)} → ${after.toFixed(1)} ms (${(after / before).toFixed(2)}×)`;
    });
    console.log(`${noise}: ${words.join("; ")}; server at most ${(serverBytes / 1e6).toFixed(0)} MB`);
  }
}

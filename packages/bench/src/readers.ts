import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { runProgram } from "../../../scripts/programs.ts";
import { slowReaders } from "./canary.ts";
import { memory } from "./process-cost.ts";
import { startSignalbox } from "./signalbox-process.ts";
import { quantile } from "./statistics.ts";

// What readers that take a byte a second, and connections that say nothing, make a server hold. Run on its own:
// node packages/bench/src/readers.ts [seconds]

const slow = 50;
const silent = 5_000;

/** Memory of the server, bytes, at the end of each part. */
export interface ReadersCost {
  /** A job prints, nobody reads. */
  readonly alone: number;
  /** With fifty readers that take a byte a second each. */
  readonly readers: number;
  /** And with connections that say nothing, on both ports. */
  readonly silent: number;
  /** To connect and be answered beside them, milliseconds, at the 99th percentile. */
  readonly answerP99: number;
}

/** Measures each part for so long. */
export async function measureReaders(seconds: number): Promise<ReadersCost> {
  await using signalbox = await startSignalbox();
  const loud = runProgram("packages/bench/src/load-worker.ts", {
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN_FILE: signalbox.tokenFile,
    WORKERS: "1",
  });
  const sockets: Socket[] = [];
  try {
    await loud.printed(/started/);
    const jobId = await signalbox.startJob("steady", { per_second: 20_000 });
    await delay(seconds * 1_000);
    const alone = memory(signalbox.pid).now;
    sockets.push(...(await slowReaders(signalbox, jobId, slow)));
    await delay(seconds * 1_000);
    const readers = memory(signalbox.pid).now;
    const answers: number[] = [];
    for (let opened = 0; opened < silent; opened += 100) {
      for (const url of [signalbox.webUrl, signalbox.workerUrl]) {
        const { hostname, port } = new URL(url);
        for (let i = 0; i < 50; i++)
          sockets.push(
            connect(Number(port), hostname)
              .on("error", () => undefined)
              .resume(),
          );
      }
      answers.push(await answered(signalbox.webUrl));
    }
    await delay(seconds * 1_000);
    answers.sort((a, b) => a - b);
    return { alone, readers, silent: memory(signalbox.pid).now, answerP99: quantile(answers, 0.99) };
  } finally {
    sockets.forEach((socket) => socket.destroy());
    await loud.kill("SIGKILL");
  }
}

/** How long it takes to connect and be told that the server is well, milliseconds. */
async function answered(url: string): Promise<number> {
  const { hostname, port } = new URL(url);
  const begin = performance.now();
  const socket = connect(Number(port), hostname);
  try {
    socket.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    await once(socket, "data");
    return performance.now() - begin;
  } finally {
    socket.destroy();
  }
}

if (import.meta.main) {
  const { alone, readers, silent: beside, answerP99 } = await measureReaders(Number(process.argv[2] ?? 20));
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  console.log(
    `a job of 20,000 lines/s: ${mb(alone)}; ${slow} readers at a byte a second: ${mb(readers)}; ${silent} silent connections: ${mb(beside)}, ` +
      `and whoever speaks is answered within ${answerP99.toFixed(1)} ms (p99)`,
  );
}

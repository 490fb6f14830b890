import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { runProgram } from "../../../scripts/programs.ts";
import { memory } from "./process-cost.ts";
import { startSignalbox } from "./signalbox-process.ts";
import { tempFolder } from "./temp-folder.ts";

// What a worker that is connected and does nothing holds in the server, beside what a bare HTTP/2 connection with an open stream holds in a
// bare server. Run on its own: node packages/bench/src/idle.ts [workers] [seconds]

/** Bytes for each worker. */
export interface IdleCost {
  readonly server: number;
  /** The same connections, on node:http2 with nothing behind it. */
  readonly floor: number;
}

/** Measures after `seconds` of heartbeats, so that what connecting has left behind is gone. */
export async function measureIdle(workers: number, seconds: number): Promise<IdleCost> {
  const bytesEach = async (pid: number, url: string, tokenFile: string): Promise<number> => {
    // The first ones have the server load and compile what it needs for any.
    const env = { SIGNALBOX_URL: url, SIGNALBOX_TOKEN_FILE: tokenFile };
    const first = runProgram("packages/bench/src/idle-clients.ts", { ...env, WORKERS: "20" });
    await first.printed(/connected/);
    await delay(seconds * 500);
    await first.kill("SIGKILL");
    const before = memory(pid).now;
    const all = runProgram("packages/bench/src/idle-clients.ts", { ...env, WORKERS: String(workers) });
    try {
      await all.printed(/connected/);
      await delay(seconds * 1_000);
      return (memory(pid).now - before) / workers;
    } finally {
      await all.kill("SIGKILL");
    }
  };
  await using folder = await tempFolder();
  const tokenFile = join(folder.path, "token");
  await writeFile(tokenFile, "none");
  const bare = runProgram("packages/bench/src/http2-floor.ts", {});
  let floor: number;
  try {
    const [, port] = await bare.printed(/port (\d+)/);
    floor = await bytesEach(bare.process.pid ?? 0, `http://127.0.0.1:${port}`, tokenFile);
  } finally {
    await bare.kill("SIGKILL");
  }
  await using signalbox = await startSignalbox();
  return { floor, server: await bytesEach(signalbox.pid, signalbox.workerUrl, signalbox.tokenFile) };
}

if (import.meta.main) {
  const [workers = "1000", seconds = "15"] = process.argv.slice(2);
  const { server, floor } = await measureIdle(Number(workers), Number(seconds));
  const kb = (bytes: number) => `${(bytes / 1000).toFixed(0)} KB`;
  console.log(
    `${workers} idle workers: ${kb(server)} each, a bare HTTP/2 connection ${kb(floor)}: ${(server / floor).toFixed(2)}×`,
  );
}

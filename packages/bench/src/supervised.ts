import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { logLines } from "./log-lines.ts";
import { memory } from "./process-cost.ts";
import { startSignalbox } from "./signalbox-process.ts";
import { tempFolder } from "./temp-folder.ts";

/** What it costs to have a program's output in the room. */
export interface SupervisedCost {
  /** Bytes and lines that the program printed. */
  readonly bytes: number;
  readonly lines: number;
  /** `cat file | cat`, seconds: the floor. */
  readonly catSeconds: number;
  /** `signalbox run -- cat file`, from its start to its end with every line on disk, seconds. */
  readonly runSeconds: number;
  /** Most memory that the supervisor held, bytes. */
  readonly supervisorBytes: number;
  /** Most memory that the server held, bytes. */
  readonly serverBytes: number;
}

const lineBytes = 120;
const blockLines = 20_000;
const cli = fileURLToPath(new URL("../../cli/src/main.ts", import.meta.url));

/** Runs `cat` of a file of about `megabytes` with and without Signalbox. The number of stored bytes is checked. */
export async function measureSupervised(megabytes: number): Promise<SupervisedCost> {
  await using folder = await tempFolder();
  const file = join(folder.path, "lines.log");
  const block = Buffer.from(logLines(blockLines, lineBytes).join(""));
  const blocks = Math.ceil((megabytes * 1e6) / block.length);
  await pipeline(Readable.from(Array.from({ length: blocks }, () => block)), createWriteStream(file));
  const lines = blocks * blockLines;

  // Once for the page cache, once for the figure.
  await timed("sh", ["-c", 'cat "$1" | cat > /dev/null', "sh", file]);
  const cat = await timed("sh", ["-c", 'cat "$1" | cat > /dev/null', "sh", file]);

  await using signalbox = await startSignalbox();
  const run = await timed(process.execPath, [cli, "run", "--", "cat", file], {
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN_FILE: signalbox.tokenFile,
  });
  const { jobs, vitals } = await signalbox.jobs.listJobs({});
  // Bytes, not lines: a line that the pipe cut for longer than 100 ms is stored in two pieces.
  const stored = Number(vitals[0]?.logBytes ?? jobs[0]?.vitals?.logBytes ?? 0);
  if (stored !== blocks * block.length) throw new Error(`${stored} of ${blocks * block.length} bytes are stored`);
  return {
    bytes: blocks * block.length,
    lines,
    catSeconds: cat.seconds,
    runSeconds: run.seconds,
    supervisorBytes: run.peakBytes,
    serverBytes: memory(signalbox.pid).peak,
  };
}

async function timed(program: string, args: readonly string[], env: Record<string, string> = {}) {
  const begin = performance.now();
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "inherit"] });
  let peakBytes = 0;
  const look = setInterval(() => {
    const peak = child.pid === undefined || child.exitCode !== null ? NaN : memory(child.pid).peak;
    // A process that is just ending has no memory any more.
    if (peak > peakBytes) peakBytes = peak;
  }, 100);
  const [code] = (await once(child, "exit")) as [number | null];
  clearInterval(look);
  if (code !== 0) throw new Error(`${program} ended with ${code}`);
  return { seconds: (performance.now() - begin) / 1000, peakBytes };
}

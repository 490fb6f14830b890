import { once } from "node:events";
import { connect } from "node:net";
import { loadavg } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { runProgram, type Program } from "../../../scripts/programs.ts";
import { cpuSeconds } from "./process-cost.ts";
import { startSignalbox, type SignalboxProcess } from "./signalbox-process.ts";
import { quantile } from "./statistics.ts";

// `pnpm --filter @signalbox/bench run recovery`, or node packages/bench/src/recovery.ts: kills the server under load and measures how long it takes
// until everybody is back, and whether a line was lost or doubled. WORKERS, LINES (all workers together, a second; 0: idle), KILLS and
// GENERATORS change the load.

/** What is loaded how. */
export interface RecoveryLoad {
  /** Links, over all generators. */
  readonly workers: number;
  /** Lines a second, all workers together; 0: they only hold their links. */
  readonly linesPerSecond: number;
  readonly generators: number;
  readonly kills: number;
}

/** How one kill went. Times are milliseconds after it. */
export interface Recovery {
  /** The port takes connections again. */
  readonly acceptingMs: number;
  /** The first, the middle and the last worker are linked again. */
  readonly linkedMs: readonly [number, number, number];
  /** The same for lines that are acknowledged again. */
  readonly acknowledgedMs: readonly [number, number, number];
  /** CPU time of the server until the last worker was back, seconds. */
  readonly serverCpuSeconds: number;
  /** The longest time for which the new server's event loop stood still. */
  readonly longestGapMs: number;
  /** The same of the generators. */
  readonly longestGeneratorStallMs: number;
}

/** What became of the lines. */
export interface RecoveryResult {
  readonly kills: readonly Recovery[];
  readonly lines: number;
  readonly linesPerSecond: number;
  readonly lost: number;
  readonly doubled: number;
}

interface Report {
  readonly linkedMs: number[];
  readonly acknowledgedMs: number[];
  readonly longestStallMs: number;
}

/** Runs the load, kills the server again and again, and compares what was made with what is stored. */
export async function measureRecovery(
  load: RecoveryLoad,
  onKill: (recovery: Recovery) => void = () => undefined,
): Promise<RecoveryResult> {
  await using signalbox = await startSignalbox();
  const each = Math.ceil(load.workers / load.generators);
  const generators = Array.from({ length: load.generators }, () =>
    runProgram("packages/bench/src/recovery-workers.ts", {
      SIGNALBOX_URL: signalbox.workerUrl,
      SIGNALBOX_TOKEN_FILE: signalbox.tokenFile,
      // What the server costs is measured; hundreds of workers with one spool folder are nobody's.
      SIGNALBOX_SPOOL: "off",
      WORKERS: String(each),
      LINES: String(load.linesPerSecond / (each * load.generators)),
    }),
  );
  try {
    await Promise.all(generators.map((generator) => generator.printed(/^ready$/m)));
    const startedAt = performance.now();
    const kills: Recovery[] = [];
    for (let kill = 0; kill < load.kills; kill++) {
      await delay(4000);
      const recovery = await recoverOnce(signalbox, generators, kill);
      kills.push(recovery);
      onKill(recovery);
    }
    await delay(2000);
    const seconds = (performance.now() - startedAt) / 1000;
    if (load.linesPerSecond === 0) return { kills, lines: 0, linesPerSecond: 0, lost: 0, doubled: 0 };
    for (const generator of generators) generator.process.kill("SIGTERM");
    const made = new Map<string, number>();
    for (const generator of generators) {
      const [, json] = await generator.printed(/^made (.*)$/m);
      for (const [id, lines] of JSON.parse(json ?? "") as [string, number][]) made.set(id, lines);
    }
    const lines = [...made.values()].reduce((sum, count) => sum + count, 0);
    return { kills, lines, linesPerSecond: lines / seconds, ...(await compare(signalbox, made)) };
  } finally {
    await Promise.all(generators.map((generator) => generator.kill("SIGKILL")));
  }
}

async function recoverOnce(
  signalbox: SignalboxProcess,
  generators: readonly Program[],
  kill: number,
): Promise<Recovery> {
  await signalbox.kill();
  for (const generator of generators) generator.process.kill("SIGUSR2");
  const killedAt = performance.now();
  const restarted = signalbox.start();
  await accepting(signalbox.workerUrl);
  const acceptingMs = performance.now() - killedAt;
  const reports: Report[] = [];
  for (const generator of generators) {
    const [, json] = await generator.printed(new RegExp(`(?:^recovered .*\\n[^]*){${kill}}^recovered (.*)$`, "m"));
    reports.push(JSON.parse(json ?? "") as Report);
  }
  const serverCpuSeconds = cpuSeconds(signalbox.pid);
  await restarted;
  const spread = (of: (report: Report) => number[]): [number, number, number] => {
    const sorted = reports.flatMap(of).sort((a, b) => a - b);
    return [sorted[0] ?? NaN, quantile(sorted, 0.5), sorted.at(-1) ?? NaN];
  };
  return {
    acceptingMs,
    linkedMs: spread(({ linkedMs }) => linkedMs),
    acknowledgedMs: spread(({ acknowledgedMs }) => acknowledgedMs),
    serverCpuSeconds,
    longestGapMs: await signalbox.longestGapMs(),
    longestGeneratorStallMs: Math.max(...reports.map(({ longestStallMs }) => longestStallMs)),
  };
}

/** Resolves when the port of an address takes a connection. */
async function accepting(url: string): Promise<void> {
  const port = Number(new URL(url).port);
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return;
    } catch {
      await delay(5);
    } finally {
      socket.destroy();
    }
  }
}

/** Reads every stored line back: line k of a job says k. */
async function compare({ readLog }: SignalboxProcess, made: ReadonlyMap<string, number>) {
  let lost = 0;
  let doubled = 0;
  for (const [jobId, lines] of made) {
    const seen = new Uint8Array(lines + 1);
    const text = await readLog(jobId);
    for (let at = 0, end; (end = text.indexOf(10, at)) >= 0; at = end + 1) {
      const number = parseInt(text.toString("latin1", at, at + 12), 10);
      const before = seen[number];
      if (before !== undefined) seen[number] = before + 1;
    }
    for (let number = 1; number <= lines; number++) {
      if (seen[number] === 0) lost++;
      else if ((seen[number] ?? 0) > 1) doubled++;
    }
  }
  return { lost, doubled };
}

if (import.meta.main) {
  const { env } = process;
  const load: RecoveryLoad = {
    workers: Number(env["WORKERS"] ?? 500),
    linesPerSecond: Number(env["LINES"] ?? 100_000),
    generators: Number(env["GENERATORS"] ?? 2),
    kills: Number(env["KILLS"] ?? 3),
  };
  console.log(
    `${load.workers} workers in ${load.generators} processes, ${load.linesPerSecond.toLocaleString("en")} lines/s, load of the machine ${loadavg()[0]?.toFixed(1)}, node ${process.version}`,
  );
  const three = (of: readonly number[]) => of.map((ms) => Math.round(ms)).join(" / ");
  const result = await measureRecovery(load, (each) =>
    console.log(
      `accepting after ${Math.round(each.acceptingMs)} ms; linked (first / median / last) ${three(each.linkedMs)} ms; acknowledged again ${three(each.acknowledgedMs)} ms; ` +
        `server ${each.serverCpuSeconds.toFixed(1)} s CPU, longest gap ${Math.round(each.longestGapMs)} ms; generators stood still for ${each.longestGeneratorStallMs} ms`,
    ),
  );
  console.log(
    `${result.lines.toLocaleString("en")} lines made, ${Math.round(result.linesPerSecond).toLocaleString("en")} a second; lost ${result.lost}, doubled ${result.doubled}; load ${loadavg()[0]?.toFixed(1)}`,
  );
}

import { loadavg } from "node:os";
import { runProgram } from "../../../scripts/programs.ts";
import { cpuSeconds } from "./process-cost.ts";
import { startSignalbox, type SignalboxProcess } from "./signalbox-process.ts";

// How many whole lives of jobs a server gets through in a second: started by a client, assigned, run and ended by workers. Run on its own:
// node packages/bench/src/job-lives.ts [jobs]

const workers = 4;
const slots = 100;
/** Calls of the client that are under way at the same time. */
const lanes = 50;
const timeLimitMs = 300_000;

/** Figures of one run. */
export interface JobLives {
  readonly jobsPerSecond: number;
  /** Entries in the topics of these jobs, a second. */
  readonly entriesPerSecond: number;
  /** How much of a processor the server took, all threads. */
  readonly serverCores: number;
}

/** Starts so many jobs that end by themselves at once, as fast as it goes, and waits until the last has ended. */
export async function measureJobLives(jobs: number): Promise<JobLives> {
  await using signalbox = await startSignalbox();
  const program = runProgram("packages/bench/src/load-worker.ts", {
    ...{ SIGNALBOX_URL: signalbox.workerUrl, SIGNALBOX_TOKEN_FILE: signalbox.tokenFile },
    ...{ WORKERS: String(workers), SLOTS: String(slots) },
  });
  const stop = AbortSignal.timeout(timeLimitMs);
  try {
    await program.printed(/started/);
    const firstId = await signalbox.startJob("brief");
    const ended = new Set<string>();
    const subscriptions = [{ id: "jobs", kind: { case: "jobs", value: {} } } as const];
    const watch = signalbox.web.live.watch({ subscriptions }, { signal: stop });
    const allEnded = (async () => {
      for await (const { message } of watch) {
        if (message.case === "records")
          for (const { id, endedAtUs } of message.value.records) if (endedAtUs !== 0n) ended.add(id);
        if (ended.size > jobs) return;
      }
      throw new Error("the watch ended before the jobs did");
    })();
    const [cpu, begin] = [cpuSeconds(signalbox.pid), performance.now()];
    let started = 0;
    const lane = async () => {
      while (started < jobs)
        await signalbox.jobs.startJob({ requestId: `life ${++started}`, type: "brief" }, { signal: stop });
    };
    await Promise.all([allEnded, ...Array.from({ length: lanes }, lane)]);
    const seconds = (performance.now() - begin) / 1000;
    const serverCores = (cpuSeconds(signalbox.pid) - cpu) / seconds;
    const entries = await entriesOf(signalbox, firstId, stop);
    return { jobsPerSecond: jobs / seconds, entriesPerSecond: (jobs * entries) / seconds, serverCores };
  } finally {
    await program.kill("SIGKILL");
  }
}

/** How many entries a job's topic has. */
async function entriesOf({ web }: SignalboxProcess, jobId: string, signal: AbortSignal): Promise<number> {
  const subscriptions = [{ id: "one", kind: { case: "job", value: { jobId } } } as const];
  let entries = 0;
  for await (const { message } of web.live.watch({ subscriptions }, { signal })) {
    if (message.case === "entries") entries += message.value.entries.length;
    if (message.case === "caughtUp") return entries;
  }
  throw new Error("the watch ended before it had caught up");
}

if (import.meta.main) {
  const jobs = Number(process.argv[2] ?? 5_000);
  const { jobsPerSecond, entriesPerSecond, serverCores } = await measureJobLives(jobs);
  console.log(
    `${jobs.toLocaleString("en")} jobs that end at once: ${Math.round(jobsPerSecond).toLocaleString("en")} jobs/s, ` +
      `${Math.round(entriesPerSecond).toLocaleString("en")} entries/s; server ${serverCores.toFixed(2)} cores (load ${loadavg()[0]?.toFixed(1) ?? ""})`,
  );
}

import { setTimeout as delay } from "node:timers/promises";
import { JobState } from "@signalbox/protocol";
import { runProgram } from "../../../scripts/programs.ts";
import { startSignalbox } from "./signalbox-process.ts";

const workers = 4;

/**
 * Lines per second from the first line of a job to the acknowledgement of the last one, over real gRPC with every line on disk:
 * four workers in one process, one job each, `linesEach` lines of 120 bytes. The number of stored lines is checked.
 */
export async function measureIngest(type: "flood" | "pour", linesEach: number): Promise<number> {
  await using signalbox = await startSignalbox();
  const program = runProgram("packages/bench/src/load-worker.ts", {
    SIGNALBOX_URL: signalbox.workerUrl,
    SIGNALBOX_TOKEN_FILE: signalbox.tokenFile,
    WORKERS: String(workers),
  });
  try {
    await program.printed(/started/);
    const round = async (count: number) => {
      const ids = await Promise.all(Array.from({ length: workers }, () => signalbox.startJob(type, { count })));
      const jobs = await Promise.all(
        ids.map(async (jobId) => {
          for (;;) {
            const { job, vitals } = await signalbox.jobs.getJob({ jobId });
            if (job?.state === JobState.SUCCEEDED) {
              if (Number(job.vitals?.lines ?? vitals?.lines) !== count)
                throw new Error(`job ${jobId} stored ${job.vitals?.lines} of ${count} lines`);
              return job;
            }
            if (job?.state === JobState.FAILED) throw new Error(`job ${jobId} failed: ${job.reason}`);
            await delay(50);
          }
        }),
      );
      const begin = Math.min(...jobs.map((job) => Number(job.startedAtUs)));
      const end = Math.max(...jobs.map((job) => Number(job.endedAtUs)));
      return (count * workers) / ((end - begin) / 1e6);
    };
    await round(linesEach / 5);
    return await round(linesEach);
  } finally {
    await program.kill("SIGTERM");
  }
}

import { writeSync } from "node:fs";
import { defineJob, startWorker } from "./index.ts";
import { commandJob } from "./process/index.ts";

// A worker process that a test stops. It prints when each item begins, and how its jobs are told to end, as they happen.

const say = (text: string) => void writeSync(1, `${text}\n`);

function* endless(): Generator<number> {
  for (let item = 1; ; item++) yield item;
}

const counting = (type: string, exclusive: boolean) =>
  defineJob({
    type,
    exclusive,
    async run(job) {
      const { signal } = job;
      signal.addEventListener("abort", () => say(`${type} ends: ${(signal.reason as Error).name}`));
      for await (const item of job.paced(endless())) {
        say(`${type} item at ${Math.round(performance.now())}`);
        job.log.info(`item ${item}`);
      }
    },
  });

const worker = await startWorker({
  jobs: [counting("exclusive", true), counting("common", false), commandJob({ exclusive: true })],
  workerId: "stopped",
  stopGraceMs: 500,
  onNotice: say,
});
process.on("SIGTERM", () => void worker.stop().then(() => process.exit(0)));

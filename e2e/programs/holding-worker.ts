import { defineJob, startWorker } from "@signalbox/worker";

// A worker process for tests of what holds over attempts.

/** Says what it begins with. Its first attempt never puts other parameters into effect. */
const held = defineJob<{ limit: number }>({
  type: "held",
  levers: ["run", "speed", "log_level", "parameters"],
  defaultItemsPerSecond: 50,
  parameters: { type: "object", properties: { limit: { type: "integer", minimum: 1, default: 1 } } },
  async run(job) {
    job.handle({ parameters: () => (job.attempt === 1 ? new Promise(() => undefined) : undefined) });
    const debug = job.log.isEnabled("debug") ? "with" : "without";
    job.log.info(`begins with limit ${job.parameters.limit}, ${debug} debug`);
    for await (const item of job.paced(endless())) {
      job.log.info(`item ${item} at ${Math.round(performance.now())}, limit ${job.parameters.limit}`);
      job.log.debug(`item ${item} in detail`);
    }
  },
});

function* endless(): Generator<number> {
  for (let item = 1; ; item++) yield item;
}

const worker = await startWorker({ jobs: [held] });
process.stdout.write("started\n");
process.on("SIGTERM", () => void worker.stop().then(() => process.exit(0)));

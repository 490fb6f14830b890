import { defineJob, startWorker } from "@signalbox/worker";

// A worker process for tests of levers that the other test worker's jobs do not have: parameters and input.

/** Prints what is sent into it, as it comes. */
const echo = defineJob({
  type: "echo",
  levers: ["run"],
  input: true,
  async run(job) {
    for await (const part of job.input) job.log.write(part, "stdout");
    job.log.info("the input has ended");
  },
});

/** Obeys every lever, and refuses a limit of 13. */
const tuned = defineJob<{ limit: number; note?: string }>({
  type: "tuned",
  levers: ["run", "speed", "log_level", "parameters"],
  parameters: {
    type: "object",
    properties: { limit: { type: "integer", minimum: 1, default: 5 }, note: { type: "string" } },
  },
  async run(job) {
    job.handle({
      parameters(next) {
        if (next.limit === 13) throw new Error("thirteen brings bad luck");
      },
    });
    for await (const item of job.paced(endless())) job.log.debug(`item ${item} of ${job.parameters.limit}`);
  },
});

function* endless(): Generator<number> {
  for (let item = 1; ; item++) yield item;
}

const worker = await startWorker({ jobs: [echo, tuned] });
process.stdout.write("started\n");
process.on("SIGTERM", () => void worker.stop().then(() => process.exit(0)));

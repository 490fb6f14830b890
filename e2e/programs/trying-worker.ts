import { setTimeout as delay } from "node:timers/promises";
import { defineJob, startWorker } from "@signalbox/worker";

// A worker process for tests of attempts. SIGNALBOX_TEST_GPU is its label gpu.

/** Fails until an attempt, and goes on from what the attempt before has saved. */
const tries = defineJob<{ succeed_at: number }>({
  type: "tries",
  levers: ["run"],
  parameters: { type: "object", properties: { succeed_at: { type: "integer", minimum: 1, default: 3 } } },
  retry: { attempts: 4, backOffMs: 200 },
  async run(job) {
    const saved = Buffer.from(job.saved ?? "").toString();
    job.log.info(`attempt ${job.attempt} goes on from '${saved}'`);
    await job.checkpoint(Buffer.from(`${saved}${job.attempt}`));
    if (job.attempt < job.parameters.succeed_at) throw new Error(`not before attempt ${job.parameters.succeed_at}`);
  },
});

/** Runs until it is canceled, or its time is over. One at a time. */
const slow = defineJob({
  type: "slow",
  levers: ["run"],
  mostRunning: 1,
  deadline: { afterMs: 2_000 },
  async run(job) {
    for (;;) {
      await delay(20, undefined, { signal: job.signal });
      await job.checkpoint();
    }
  },
});

const gpu = process.env["SIGNALBOX_TEST_GPU"];
const worker = await startWorker({ jobs: [tries, slow], slots: 4, labels: gpu ? { gpu } : {} });
process.stdout.write("started\n");
process.on("SIGTERM", () => void worker.stop().then(() => process.exit(0)));

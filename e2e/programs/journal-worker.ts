import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { defineJob, JobCanceled, startWorker, type Job } from "@signalbox/worker";

// A worker process that keeps a journal of what its jobs really do: <SIGNALBOX_RECORDS>/journal.txt, one line for each, 'JOB ATTEMPT WORD',
// written before anybody is told. SIGNALBOX_TEST_SLOTS is how many jobs it runs at a time.

const journal = join(process.env["SIGNALBOX_RECORDS"] ?? ".", "journal.txt");

function write(job: Job<unknown>, word: string): void {
  appendFileSync(journal, `${job.id} ${job.attempt} ${word}\n`);
}

/** Counts: an INFO and a DEBUG line for each item, and a line in the journal. */
const ticks = defineJob({
  type: "ticks",
  description: "Counts, and keeps a journal of it.",
  levers: ["run", "speed", "log_level"],
  defaultItemsPerSecond: 100,
  async run(job) {
    write(job, "begins");
    try {
      for await (const tick of job.paced(endless())) {
        write(job, `tick ${tick}`);
        job.log.info(`tick ${tick}`);
        job.log.debug(`tick ${tick} in detail`);
      }
    } finally {
      write(job, "ends");
    }
  },
});

/** Works on items that take long and have no safe point in them. */
const slow = defineJob<{ item_ms: number }>({
  type: "slow",
  description: "Works on items that take long.",
  levers: ["run"],
  parameters: { type: "object", properties: { item_ms: { type: "integer", minimum: 1, default: 2000 } } },
  async run(job) {
    write(job, "begins");
    for (let item = 1; ; item++) {
      await job.checkpoint();
      write(job, `item ${item}`);
      job.log.info(`item ${item}`);
      job.progress({ done: item });
      await delay(job.parameters.item_ms, undefined, { signal: job.signal });
    }
  },
});

/** Is done after some time, or is canceled before. */
const race = defineJob<{ ms: number }>({
  type: "race",
  description: "Is done after some time.",
  levers: ["run"],
  parameters: { type: "object", required: ["ms"], properties: { ms: { type: "integer", minimum: 0 } } },
  async run(job) {
    try {
      await delay(job.parameters.ms, undefined, { signal: job.signal });
    } catch (error) {
      if (job.signal.reason instanceof JobCanceled) write(job, "canceled");
      throw error;
    }
    write(job, "succeeded");
  },
});

function* endless(): Generator<number> {
  for (let item = 1; ; item++) yield item;
}

const worker = await startWorker({
  jobs: [ticks, slow, race],
  slots: Number(process.env["SIGNALBOX_TEST_SLOTS"] ?? 8),
});
process.stdout.write("started\n");
process.on("SIGTERM", () => void worker.stop().then(() => process.exit(0)));

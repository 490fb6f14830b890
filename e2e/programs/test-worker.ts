import { createHash } from "node:crypto";
import { createReadStream, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { defineJob, startWorker } from "@signalbox/worker";

// A worker process for tests. Whatever its jobs print is hashed here too, into <SIGNALBOX_RECORDS>/<job id>.json when they end, so
// that a test can compare what was printed with what is stored.

const records = process.env["SIGNALBOX_RECORDS"] ?? ".";

/** Hashes what a job prints. */
function recorder(jobId: string) {
  const hash = createHash("sha256");
  let bytes = 0;
  return {
    add(text: Uint8Array) {
      hash.update(text);
      bytes += text.length;
    },
    save() {
      writeFileSync(join(records, `${jobId}.json`), JSON.stringify({ sha256: hash.digest("hex"), bytes }));
    },
  };
}

/** Prints numbered lines at a rate until it is canceled. */
const lines = defineJob<{ per_second: number }>({
  type: "lines",
  levers: ["run"],
  parameters: { type: "object", properties: { per_second: { type: "number", default: 100 } } },
  async run(job) {
    const record = recorder(job.id);
    const startedAt = performance.now();
    let number = 0;
    try {
      for (;;) {
        const due = Math.floor(((performance.now() - startedAt) / 1000) * job.parameters.per_second);
        let batch = "";
        while (number < due) batch += `INFO line ${++number} of job ${job.id}: ${"x".repeat(70)}\n`;
        if (batch) {
          const bytes = Buffer.from(batch);
          record.add(bytes);
          job.log.write(bytes, "stdout");
          job.progress({ done: number });
        }
        await job.log.ready();
        await delay(10, undefined, { signal: job.signal });
        await job.checkpoint();
      }
    } finally {
      record.save();
    }
  },
});

/** Prints a file, in pieces that begin and end anywhere. */
const replay = defineJob<{ file: string; piece: number }>({
  type: "replay",
  levers: ["run"],
  parameters: {
    type: "object",
    required: ["file"],
    properties: { file: { type: "string" }, piece: { type: "integer", minimum: 1, default: 4099 } },
  },
  async run(job) {
    const record = recorder(job.id);
    for await (const bytes of createReadStream(job.parameters.file, { highWaterMark: job.parameters.piece })) {
      record.add(bytes as Buffer);
      job.log.write(bytes as Buffer, "stdout");
      await job.log.ready();
    }
    record.save();
  },
});

/** Prints given bytes, write by write. */
const bytes = defineJob<{ writes: string[]; pause_ms: number }>({
  type: "bytes",
  levers: ["run"],
  parameters: {
    type: "object",
    required: ["writes"],
    properties: {
      writes: { type: "array", items: { type: "string" } },
      pause_ms: { type: "integer", minimum: 0, default: 0 },
    },
  },
  async run(job) {
    const record = recorder(job.id);
    for (const base64 of job.parameters.writes) {
      const text = Buffer.from(base64, "base64");
      record.add(text);
      job.log.write(text, "stdout");
      await job.log.ready();
      await delay(job.parameters.pause_ms);
    }
    record.save();
  },
});

/** Items that take no time, at the speed that is asked. */
const items = defineJob<{ count: number }>({
  type: "items",
  itemNoun: "items",
  parameters: { type: "object", properties: { count: { type: "integer", minimum: 0, default: 100_000 } } },
  async run(job) {
    for await (const item of job.paced(Array.from({ length: job.parameters.count }, (_, i) => i + 1))) {
      job.log.info(`item ${item}`);
    }
  },
});

/** Fails. */
const fails = defineJob({
  type: "fails",
  run() {
    throw new Error("the disk is made of cheese");
  },
});

const worker = await startWorker({ jobs: [lines, replay, bytes, items, fails], slots: 8 });
process.stdout.write("started\n");
process.on("SIGTERM", () => void worker.stop().then(() => process.exit(0)));

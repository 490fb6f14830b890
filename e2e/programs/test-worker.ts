import { createHash } from "node:crypto";
import { createReadStream, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { defineJob, startWorker } from "@signalbox/worker";

// A worker process for tests. Whatever its jobs print is hashed here too, into <SIGNALBOX_RECORDS>/<job id>.json when they end, so
// that a test can compare what was printed with what is stored. SIGNALBOX_TEST_POOL is its pool.

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

/** Prints as many lines as a loop can, half of them at DEBUG, and obeys every lever: with each item 50 lines. */
const flood = defineJob({
  type: "flood",
  levers: ["run", "speed", "log_level"],
  defaultItemsPerSecond: 500,
  async run(job) {
    for await (const item of job.paced(endless())) {
      job.log.info(Array.from({ length: 25 }, (_, i) => `item ${item}, line ${i}`).join("\n"));
      job.log.debug(Array.from({ length: 25 }, (_, i) => `item ${item}, in detail ${i}`).join("\n"));
      job.progress({ done: item });
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

/** Obeys every lever: an INFO and a DEBUG line for each item. It takes no more than 45 retries, which its schema does not say. */
const tunable = defineJob<{ retries: number; mode?: string; folders?: string[] }>({
  type: "tunable",
  description: "Works through items, and can be steered while it does.",
  levers: ["run", "speed", "log_level", "parameters"],
  defaultItemsPerSecond: 20,
  parameters: {
    type: "object",
    required: ["retries"],
    properties: {
      retries: {
        type: "integer",
        title: "Retries",
        description: "How often an item is tried.",
        minimum: 1,
        maximum: 100,
        default: 10,
      },
      mode: { title: "Mode", enum: ["fast", "careful"], default: "fast" },
      folders: { type: "array", items: { type: "string" }, title: "Folders", default: ["/srv/a", "/srv/b"] },
      limits: {
        type: "object",
        title: "Limits",
        properties: {
          memory_mb: { type: "integer", title: "Memory", description: "Megabytes.", minimum: 64, default: 1024 },
          wait_s: {
            type: "number",
            title: "Wait",
            description: "Seconds between tries.",
            exclusiveMinimum: 0,
            default: 0.5,
          },
        },
      },
      env: { type: "object", title: "Environment", additionalProperties: { type: "string" } },
      dry_run: { type: "boolean", title: "Dry run", default: false },
    },
    additionalProperties: false,
  },
  async run(job) {
    job.handle({
      parameters(next) {
        if (next.retries > 45) throw new Error("45 retries at most");
      },
    });
    job.log.info(`begins with ${job.parameters.retries} retries`);
    for await (const item of job.paced(endless())) {
      job.log.info(`item ${item}, ${job.parameters.retries} retries`);
      job.log.debug(`item ${item} in detail`);
      job.progress({ phase: "working" });
    }
  },
});

function* endless(): Generator<number> {
  for (let item = 1; ; item++) yield item;
}

/** Asks for names, as a program does that waits for its standard input, and greets each. */
const asks = defineJob({
  type: "asks",
  description: "Asks for names and greets each, until the input ends.",
  levers: ["run"],
  input: true,
  async run(job) {
    let typed = "";
    job.log.write("Who are you? ", "stdout");
    for await (const piece of job.input) {
      typed += Buffer.from(piece).toString();
      for (let end = typed.indexOf("\n"); end >= 0; end = typed.indexOf("\n")) {
        job.log.write(`\nHello, ${typed.slice(0, end)}.\nWho are you? `, "stdout");
        typed = typed.slice(end + 1);
      }
    }
    job.log.write("\nNobody is left.\n", "stdout");
  },
});

/** A progress bar that draws itself over and over in one line, and then ends it. */
const bar = defineJob<{ steps: number; every_ms: number }>({
  type: "bar",
  description: "Draws a progress bar in one line.",
  levers: ["run"],
  parameters: {
    type: "object",
    properties: {
      steps: { type: "integer", minimum: 1, default: 40 },
      every_ms: { type: "integer", minimum: 0, default: 150 },
    },
  },
  async run(job) {
    const { steps, every_ms } = job.parameters;
    job.log.write("Fetching parts\n", "stdout");
    for (let step = 1; step <= steps; step++) {
      const done = Math.round((step / steps) * 30);
      job.log.write(`\r\u001b[32m${"█".repeat(done)}\u001b[0m${"─".repeat(30 - done)} ${step} of ${steps}`, "stdout");
      await job.log.ready();
      await delay(every_ms, undefined, { signal: job.signal });
    }
    job.log.write("\nall parts are here\n", "stdout");
  },
});

const pool = process.env["SIGNALBOX_TEST_POOL"];
const worker = await startWorker({
  jobs: [lines, flood, replay, bytes, items, fails, tunable, asks, bar],
  slots: 8,
  labels: pool ? { pool } : {},
});
process.stdout.write("started\n");
process.on("SIGTERM", () => void worker.stop().then(() => process.exit(0)));

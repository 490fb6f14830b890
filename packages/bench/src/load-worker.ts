import { setTimeout as delay } from "node:timers/promises";
import { defineJob, startWorker } from "@signalbox/worker";
import { logLines } from "./log-lines.ts";

// A process of workers that print as fast as they may, or at a rate. Arguments: how many workers.

const lineBytes = 120;
const lines = logLines(20_000, lineBytes);
const blocks: Buffer[] = [];
const linesPerBlock = 200;
for (let i = 0; i < lines.length; i += linesPerBlock)
  blocks.push(Buffer.from(lines.slice(i, i + linesPerBlock).join("")));

/** Prints `count` lines with their levels through the SDK's log calls, line by line, as fast as the server takes them. */
const flood = defineJob<{ count: number }>({
  type: "flood",
  parameters: { type: "object", properties: { count: { type: "integer" } } },
  async run(job) {
    for (let sent = 0; sent < job.parameters.count; sent++) {
      job.log.info((lines[sent % lines.length] ?? "").slice(0, -1));
      if (sent % linesPerBlock === 0) await job.log.ready();
    }
  },
});

/** Prints raw bytes, as a supervised program does: the SDK cuts lines, the server detects levels. */
const pour = defineJob<{ count: number }>({
  type: "pour",
  parameters: { type: "object", properties: { count: { type: "integer" } } },
  async run(job) {
    for (let sent = 0; sent < job.parameters.count; sent += linesPerBlock) {
      job.log.write(blocks[(sent / linesPerBlock) % blocks.length] ?? "", "stdout");
      await job.log.ready();
    }
  },
});

/** Prints at a rate until it is canceled. */
const steady = defineJob<{ per_second: number }>({
  type: "steady",
  parameters: { type: "object", properties: { per_second: { type: "number" } } },
  async run(job) {
    const startedAt = performance.now();
    for (let sent = 0; ;) {
      const due = ((performance.now() - startedAt) / 1000) * job.parameters.per_second;
      for (; sent < due; sent++) job.log.info((lines[sent % lines.length] ?? "").slice(0, -1));
      await delay(10, undefined, { signal: job.signal });
      await job.checkpoint();
    }
  },
});

/** Does nothing but stand at safe points, so that its levers show how long a command takes. */
const idle = defineJob({
  type: "idle",
  async run(job) {
    for await (const _ of job.paced(forever())) await delay(5, undefined, { signal: job.signal });
  },
});

/** Ends at once: what is left is what a job costs by itself. */
const brief = defineJob({ type: "brief", run: () => Promise.resolve() });

function* forever(): Generator<undefined> {
  for (;;) yield undefined;
}

const slots = Number(process.env["SLOTS"] ?? 1);
const workers = await Promise.all(
  Array.from({ length: Number(process.argv[2] ?? process.env["WORKERS"] ?? 1) }, (_, i) =>
    startWorker({ jobs: [flood, pour, steady, idle, brief], workerId: `bench-${process.pid}-${i}`, slots }),
  ),
);
process.stdout.write("started\n");
process.on("SIGTERM", () => void Promise.all(workers.map((worker) => worker.stop())).then(() => process.exit(0)));

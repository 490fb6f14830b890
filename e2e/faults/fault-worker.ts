import { setTimeout as delay } from "node:timers/promises";
import { defineJob, startWorker } from "@signalbox/worker";
import { makeContent } from "./content.ts";
import { hearAcks } from "./heard-acks.ts";
import { OracleClient } from "./oracle-client.ts";

// A worker that tells the oracle (at the unix socket FAULT_ORACLE) each line before it prints it, and each acknowledgement that it hears.

const oracle = await OracleClient.open(process.env["FAULT_ORACLE"] ?? "");
hearAcks((ack) => void oracle.tell({ say: "acknowledged", ...ack }));

/** Prints numbered lines at a rate until it is canceled. A rate that it was kept from is not made up for beyond a second. */
const numbered = defineJob<{ seed: number; per_second: number; plain: boolean }>({
  type: "numbered",
  levers: ["run"],
  parameters: {
    type: "object",
    required: ["seed", "per_second"],
    properties: {
      seed: { type: "integer" },
      per_second: { type: "number", exclusiveMinimum: 0 },
      plain: { type: "boolean", default: false },
    },
  },
  async run(job) {
    const { seed, per_second, plain } = job.parameters;
    const content = makeContent(seed, plain);
    let next = 1;
    let due = 1;
    let lookedAt = performance.now();
    for (;;) {
      const now = performance.now();
      due = Math.min(due + ((now - lookedAt) / 1000) * per_second, next + per_second);
      lookedAt = now;
      const batch = [];
      const from = next;
      while (next < due) {
        const printed = content.printedAt(next);
        batch.push(printed);
        next = printed.next;
      }
      if (batch.length > 0) {
        await oracle.tell({ say: "printing", job: job.id, attempt: job.attempt, from, to: next });
        for (const { bytes, source } of batch) job.log.write(bytes, source);
        job.progress({ done: next - 1 });
      }
      await job.log.ready();
      await delay(10, undefined, { signal: job.signal });
      await job.checkpoint();
    }
  },
});

const worker = await startWorker({ jobs: [numbered], slots: 4 });
process.stdout.write("started\n");
process.on("SIGTERM", () => void worker.stop().then(() => process.exit(0)));

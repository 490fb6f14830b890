import { setTimeout as delay } from "node:timers/promises";
import { defineJob, startWorker } from "../index.ts";

// A worker in a process of its own, to be killed. It prints numbered lines as its job's parameters say, and tells its parent what it has printed.

const print = defineJob<{ lines: number; every?: number }>({
  type: "print",
  async run(job) {
    const { lines, every = 100 } = job.parameters;
    for (let line = 1; line <= lines; line++) {
      job.log.info(`line ${line}`);
      if (line % every === 0) await job.log.ready();
    }
    process.send?.("printed");
    await delay(60_000, undefined, { signal: job.signal });
  },
});
const here = defineJob({
  type: "here",
  pinned: true,
  async run(job) {
    for (let line = 1; line <= 200; line++) job.log.info(`line ${line}`);
    process.send?.("printed");
    if (process.env["END"] !== "now") await delay(60_000, undefined, { signal: job.signal });
  },
});

const worker = await startWorker({
  jobs: process.env["HELPER"] === "yes" ? [here] : [print, here],
  transient: process.env["TRANSIENT"] === "yes",
  longestBackOffMs: 200,
  onNotice: (message) => void process.stderr.write(`${message}\n`),
});
if (process.env["TRANSIENT"] === "yes") worker.startHere("here", { name: "started here", parameters: { a: 1 } });

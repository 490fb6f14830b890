/** A way to begin. */
export interface Way {
  readonly title: string;
  readonly text: string;
  /** What can be copied. */
  readonly code?: string;
  /** What can be pressed; `why` says why it cannot be now. */
  readonly action?: { readonly label: string; readonly why: string | undefined; readonly press: () => void };
}

/** A worker in a few lines. `options` go into its start, as code. */
export function workerCode(options = ""): string {
  return `import { defineJob, startWorker } from "@signalbox/worker";

const greet = defineJob({
  type: "greet",
  async run(job) {
    for await (const name of job.paced(["Ada", "Grace", "Edsger"])) {
      job.log.info(\`Hello, \${name}\`);
    }
  },
});
await startWorker({ jobs: [greet]${options} });`;
}

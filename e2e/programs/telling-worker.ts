import { defineJob, startWorker } from "@signalbox/worker";

// A worker whose job tells a secret in every way that there is: SIGNALBOX_TEST_PASSWORD.

const secret = process.env["SIGNALBOX_TEST_PASSWORD"] ?? "";

const tell = defineJob({
  type: "tell",
  levers: ["run", "parameters"],
  parameters: { type: "object", properties: { text: { type: "string", default: "" } } },
  async run(job) {
    const refused = Promise.withResolvers<void>();
    job.handle({
      parameters() {
        // The refusal is reported before the job ends.
        setTimeout(refused.resolve, 200);
        throw new Error(`not with ${secret}`);
      },
    });
    for (let at = 0; at <= secret.length; at++) {
      job.log.write(`cut ${secret.slice(0, at)}`, "stderr");
      job.log.info(`between, with ${secret}`, { password: secret, header: `Basic ${btoa("me:" + encodeURI(secret))}` });
      job.log.write(`${secret.slice(at)} end\n`, "stderr");
    }
    job.log.write(`unfinished ${secret}`);
    job.progress({ phase: `asking with ${secret}` });
    await refused.promise;
    throw new Error(`cannot go on with ${secret}`, { cause: { secret } });
  },
});

const worker = await startWorker({ jobs: [tell] });
process.once("SIGTERM", () => void worker.stop());
process.stdout.write("started\n");

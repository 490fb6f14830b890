import { runCommand } from "@signalbox/worker/process";

// What `signalbox run` does, without the command line around it: options as JSON in SIGNALBOX_RUN_OPTIONS, the command as arguments. For
// tests that look at the supervisor's process itself.

const options = JSON.parse(process.env["SIGNALBOX_RUN_OPTIONS"] ?? "{}") as Partial<Parameters<typeof runCommand>[0]>;
delete process.env["SIGNALBOX_RUN_OPTIONS"];
const { exitCode } = await runCommand({
  ...options,
  command: process.argv.slice(2),
  onJobId: (jobId) => process.stderr.write(`signalbox: job ${jobId}\n`),
});
process.exit(exitCode);

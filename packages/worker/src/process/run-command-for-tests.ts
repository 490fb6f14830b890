import { runCommand } from "./run-command.ts";

// A supervisor's process without the command line around it: options as JSON in SIGNALBOX_RUN_OPTIONS, the command as arguments.

const options = JSON.parse(process.env.SIGNALBOX_RUN_OPTIONS ?? "{}") as Partial<Parameters<typeof runCommand>[0]>;
delete process.env.SIGNALBOX_RUN_OPTIONS;
const { exitCode } = await runCommand({ ...options, command: process.argv.slice(2) });
process.exit(exitCode);

export { commandJob, type CommandJobOptions } from "./command-job.ts";
export type { CommandParameters } from "./command-run.ts";
export { CannotStart } from "./find-command.ts";
export type { LocalTerminal } from "./local-terminal.ts";
export { markerVariable, UnsupportedPlatform } from "./process-info.ts";
export { runCommand, type RunCommandOptions, type RunCommandResult } from "./run-command.ts";

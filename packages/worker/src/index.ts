import "./node-version.ts";
export {
  defineJob,
  JobCanceled,
  JobFenced,
  JobReleased,
  LogOverflow,
  ProgramFailed,
  type Job,
  type JobDefinition,
  type JobEnd,
  type JobHandlers,
  type JobLog,
  type LevelName,
  type ProgramEnd,
  type Progress,
} from "./job.ts";
export type { DeadlineOptions, RetryOptions } from "./job-policy.ts";
export { startWorker } from "./start-worker.ts";
export type { StartedHere, StartHereOptions, Worker, WorkerOptions } from "./worker.ts";
export type { ConnectOptions } from "./config.ts";
export type { Fields } from "./fields.ts";
export type { RedactOptions } from "./redaction/redact-options.ts";
export type { SpoolOptions, WhenFull } from "./spool/spool-config.ts";
export type { LeverName } from "./levers.ts";
export type { LinkState, WorkerState } from "./link-state.ts";

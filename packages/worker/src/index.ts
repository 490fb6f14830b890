export {
  defineJob,
  JobCanceled,
  JobFenced,
  JobReleased,
  LogOverflow,
  type Job,
  type JobDefinition,
  type JobLog,
  type Progress,
} from "./job.ts";
export { startWorker, type Worker, type WorkerOptions } from "./worker.ts";
export type { ConnectOptions } from "./config.ts";
export type { Fields } from "./fields.ts";
export type { LeverName } from "./levers.ts";
export type { LinkState, WorkerState } from "./link-state.ts";

import type { Bulks } from "../bulk/bulks.ts";
import type { Audit } from "../audit/audit.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Trends } from "../jobs/trends.ts";
import type { Logs } from "../logs/logs.ts";
import type { Store } from "../store/store.ts";
import type { Workers } from "../workers/workers.ts";
import type { Cursors } from "./cursors.ts";
import type { TableReaders } from "./table-readers.ts";
import type { Turns } from "./turns.ts";

/** What subscriptions read from. */
export interface LiveParts {
  readonly store: Store;
  readonly jobs: Jobs;
  readonly audit: Audit;
  readonly trends: Trends;
  readonly logs: Logs;
  readonly workers: Workers;
  readonly bulks: Bulks;
  readonly cursors: Cursors;
  readonly tableReaders: TableReaders;
  /** Of those who read much. */
  readonly turns: Turns;
  /** The attempt that a reader means: 0 is the newest. Throws Refused if there is no such job or attempt. */
  readonly attemptOf: (jobId: string, attempt: number) => number | Promise<number>;
}

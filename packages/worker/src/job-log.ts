import { Level, Source } from "@signalbox/protocol";
import type { AttemptLog } from "./attempt-log.ts";
import type { Fields } from "./fields.ts";
import { LogOverflow, type JobLog } from "./job.ts";

const sources = { stdout: Source.STDOUT, stderr: Source.STDERR, task: Source.TASK } as const;

/** What the log of a job stands on. */
export interface JobLogParts {
  readonly log: AttemptLog;
  /** How much the worker may hold, bytes. */
  readonly boundBytes: number;
  /** Resolves when there is room. */
  readonly ready: () => Promise<void>;
  /** The attempt has an outcome: what its job prints now goes nowhere. */
  readonly hasSettled: () => boolean;
  /** The job has printed twice what the worker may hold, and is told so by every call from now on. */
  readonly overflowed: (error: LogOverflow) => void;
}

/** Makes what a job function gets as `job.log`. */
export function createJobLog({ log, boundBytes, ready, hasSettled, overflowed }: JobLogParts): JobLog {
  let overflow: LogOverflow | undefined;
  const guarded = (print: () => void) => {
    if (overflow && !hasSettled()) throw overflow;
    print();
    if (hasSettled() || !log.isOver) return;
    overflow = new LogOverflow(
      `${megabytes(log.bytes)} of lines wait for the server, and this worker may hold ${megabytes(boundBytes)}: ` +
        "a job that prints this fast must use job.paced, job.checkpoint or await job.log.ready(), which wait",
    );
    overflowed(overflow);
    throw overflow;
  };
  const at = (level: Level) => (text: string, fields?: Fields) =>
    guarded(() => log.line(level, text, fields, Source.TASK));
  return {
    trace: at(Level.TRACE),
    debug: at(Level.DEBUG),
    info: at(Level.INFO),
    warn: at(Level.WARN),
    error: at(Level.ERROR),
    fatal: at(Level.FATAL),
    write: (bytes, source = "task") =>
      guarded(() => log.write(typeof bytes === "string" ? Buffer.from(bytes) : bytes, sources[source])),
    ready,
  };
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(bytes < 10_485_760 ? 1 : 0)} MB`;
}

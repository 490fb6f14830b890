import { Level, Source } from "@signalbox/protocol";
import type { AttemptLog } from "./attempt-log.ts";
import type { Fields } from "./fields.ts";
import { megabytes } from "./line-budget.ts";
import { LogOverflow, type JobLog, type LevelName } from "./job.ts";

const levels: Readonly<Record<LevelName, Level>> = {
  trace: Level.TRACE,
  debug: Level.DEBUG,
  info: Level.INFO,
  warn: Level.WARN,
  error: Level.ERROR,
  fatal: Level.FATAL,
};
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
  const at = (level: LevelName) => (text: string, fields?: Fields) =>
    guarded(() => log.line(levels[level], text, fields, Source.TASK));
  return {
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    fatal: at("fatal"),
    write: (bytes, source = "task") =>
      guarded(() => log.write(typeof bytes === "string" ? Buffer.from(bytes) : bytes, sources[source])),
    get hasRoom() {
      return !log.isFull;
    },
    ready,
    isEnabled: (level) => levels[level] >= log.lowestLevel,
  };
}

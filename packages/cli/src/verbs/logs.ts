import { Code } from "@connectrpc/connect";
import {
  Level,
  type Attempt,
  type JobRecord,
  type LateEvidence,
  type LogEntry,
  type ReadLogsResponse,
} from "@signalbox/protocol";
import { exact } from "@signalbox/protocol/format";
import { seenState } from "@signalbox/protocol/job-state";
import { CliError, exitCodes, usageError } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { parseLevel } from "../lever-values.ts";
import { LogPrinter } from "../log-printer.ts";
import { outcomeCode } from "../outcome-code.ts";
import { resolveJob, type FoundJob } from "../resolve-job.ts";
import type { Room } from "../room.ts";
import { sanitise } from "../sanitise.ts";
import { linkWords, outliving, watch, type Followed, type LinkEvent } from "../watch.ts";

export interface LogsOptions {
  readonly follow?: boolean;
  readonly from?: number;
  readonly lines?: number;
  readonly tail?: number;
  readonly attempt?: number;
  readonly late?: boolean;
  readonly level?: string;
  readonly raw?: boolean;
  readonly timestamps?: boolean;
  readonly exitCode?: boolean;
}

/** Prints a job's log: what is stored now, or with `follow` all that comes until the job has ended. */
export async function logs(invocation: Invocation, ref: string, options: LogsOptions): Promise<number> {
  const { out } = invocation;
  if (options.from !== undefined && options.tail !== undefined)
    throw usageError("--from and --tail exclude each other.");
  if (options.follow && options.lines !== undefined) throw usageError("--follow and --lines exclude each other.");
  if (options.follow && options.late)
    throw usageError("--late prints what has come: it goes without --follow, for nobody knows whether more comes.");
  if (options.exitCode && !options.follow) throw usageError("--exit-code needs --follow: only an end has an outcome.");
  if (options.raw && (out.json || options.timestamps))
    throw usageError("--raw prints the exact bytes: it goes with neither --json nor --timestamps.");
  const room = await invocation.room();
  const find = () => resolveJob(room, ref);
  const onAway = (event: LinkEvent) => out.note(linkWords(event));
  const { job } = await (options.follow ? outliving(find, { signal: invocation.signal, onAway }) : find());
  if (!options.follow) return printStored(invocation, room, job, options);
  const ended = await followLog(invocation, room, job, options);
  return options.exitCode ? outcomeCode(ended) : exitCodes.ok;
}

async function printStored({ out }: Invocation, room: Room, job: JobRecord, options: LogsOptions): Promise<number> {
  const jobId = job.id;
  const { late = false } = options;
  const read = (fromLine: number, attempt: number, maxBytes = 0) =>
    room.call("", () => room.logs.readLogs({ jobId, attempt, fromLine: BigInt(fromLine), maxBytes, late }));
  const evidence = late ? lateEvidence(job, options.attempt) : undefined;
  if (late && !evidence) {
    const whose = options.attempt === undefined ? "" : `attempt ${options.attempt} of `;
    out.note(`${whose}${sanitise(job.name)} has no late evidence: no line came of it after it was given up.`);
    return exitCodes.ok;
  }
  // Only to learn where the log ends now: what comes later is not waited for.
  const end = await read(1, evidence?.attempt ?? options.attempt ?? 0, 1);
  const endLine = Number(end.endLine);
  if (end.attempt === 0) {
    out.note(`${sanitise(job.name)} has no log yet: no attempt has begun.`);
    return exitCodes.ok;
  }
  const attempt = attemptOf(job, end.attempt);
  const firstLine = Number(evidence?.firstLine ?? 1n);
  const fromLine = Math.max(firstLine, options.tail === undefined ? (options.from ?? 1) : endLine - options.tail);
  const printer = printerOf(
    { out },
    options,
    fromLine,
    Math.min(options.lines ?? Infinity, Math.max(0, endLine - fromLine)),
  );
  const isMore = (answer: ReadLogsResponse) => answer.entries.length > 0 && Number(answer.nextLine) < endLine;
  let next = fromLine < endLine && !printer.isDone ? read(fromLine, end.attempt) : undefined;
  while (next) {
    const answer: ReadLogsResponse = await next;
    // The next part is on its way while this one is printed.
    next = isMore(answer) ? read(Number(answer.nextLine), end.attempt) : undefined;
    next?.catch(() => undefined);
    for (const entry of answer.entries) await printer.entry(entry, attempt);
    if (printer.isDone) break;
    if (!out.isTerminal && next) out.status(`line ${exact(Number(answer.nextLine) - 1)} of ${exact(endLine - 1)}`);
  }
  await printer.end();
  if (!late && lateEvidence(job, end.attempt))
    out.note(`More came after attempt ${end.attempt} was given up: signalbox logs ${job.id} --late shows it.`);
  return exitCodes.ok;
}

/** What is known of lines that came late: of the attempt, or else of the newest that has any. */
function lateEvidence(job: JobRecord, attempt: number | undefined): LateEvidence | undefined {
  return job.late.findLast((late) => late.firstLine > 0n && (attempt === undefined || late.attempt === attempt));
}

/**
 * Prints the log of a job, attempt after attempt, until the job has ended; of a given attempt until that one has. Goes on over lost
 * links without a gap or a double. Resolves with the job at its end. `onNews` hears of the job and its progress, and is waited for. Throws
 * CliError.
 */
export async function followLog(
  { out, signal }: Pick<Invocation, "out" | "signal">,
  room: Room,
  start: JobRecord,
  options: LogsOptions,
  onNews?: (news: Partial<FoundJob>) => Promise<void>,
): Promise<JobRecord> {
  let job = start;
  let number = options.attempt ?? job.attempts.at(-1)?.number ?? 0;
  let fromLine = options.from ?? 1;
  const jobFollowed: Followed = {
    id: "job",
    kind: { case: "job", value: { $typeName: "signalbox.v1.JobSubscription", jobId: job.id } },
    cursor: new Uint8Array(),
  };
  for (let first = true; ; first = false) {
    const tail = first ? options.tail : undefined;
    const log: Followed = {
      id: `log/${number}`,
      kind: logKind(job.id, number, fromLine, tail),
      cursor: new Uint8Array(),
    };
    const printer = printerOf({ out }, options, tail === undefined ? fromLine : 1);
    let sealed = false;
    let next: Attempt | undefined;
    for await (const event of watch(room, [jobFollowed, log], signal)) {
      if (event.kind !== "message") {
        out.note(linkWords(event));
        continue;
      }
      const { message } = event;
      if (message.case === "error")
        throw new CliError(
          message.value.code === (Code.NotFound as number) ? exitCodes.notFound : exitCodes.failed,
          sanitise(message.value.message),
        );
      if (message.case === "reset" && event.id === log.id)
        out.note("The server has another store: what it has of the log follows from its beginning.");
      if (message.case === "entries") {
        for (const { record } of message.value.entries) job = record ?? job;
        if (number === 0) number = job.attempts.at(-1)?.number ?? 0;
        await onNews?.({ job });
      }
      if (message.case === "vitals") await onNews?.({ vitals: message.value.vitals.at(-1) });
      if (message.case === "log") {
        number = message.value.attempt;
        if (tail !== undefined && message.value.entries.length === 0 && printer.nextLine === 1)
          printer.nextLine = Math.max(1, Number(message.value.endLine) - tail);
        sealed ||= await printEntries(printer, message.value.entries, attemptOf(job, number));
      }
      if (sealed && options.attempt !== undefined) break;
      next = job.attempts.find((attempt) => attempt.number > number);
      if (isOver(job, number, sealed) || (sealed && next)) break;
    }
    await printer.end();
    signal.throwIfAborted();
    if (options.attempt !== undefined || !next) return job;
    number = next.number;
    fromLine = 1;
    out.note(`Attempt ${number} begins, on ${sanitise(next.workerId)}.`);
  }
}

/** Prints entries; returns whether the log is sealed by one of them. */
async function printEntries(
  printer: LogPrinter,
  entries: readonly LogEntry[],
  attempt: Pick<Attempt, "number">,
): Promise<boolean> {
  for (const entry of entries) await printer.entry(entry, attempt);
  return entries.some(({ entry }) => entry.case === "seal");
}

/** Whether the job has ended and all of its log is printed: the seal of its newest attempt was seen, or it never had one. */
function isOver(job: JobRecord, number: number, sealed: boolean): boolean {
  if (!seenState(job).ended) return false;
  const newest = job.attempts.at(-1)?.number ?? 0;
  return newest === 0 || (sealed && newest === number);
}

function logKind(jobId: string, attempt: number, fromLine: number, tail: number | undefined): Followed["kind"] {
  return {
    case: "log",
    value: {
      $typeName: "signalbox.v1.LogSubscription",
      jobId,
      attempt,
      start: tail === undefined ? { case: "fromLine", value: BigInt(fromLine) } : { case: "last", value: tail },
      allowSkip: false,
      late: false,
    },
  };
}

function printerOf(
  { out }: Pick<Invocation, "out">,
  options: LogsOptions,
  fromLine: number,
  lineCount?: number,
): LogPrinter {
  const format = {
    raw: options.raw ?? false,
    timestamps: options.timestamps ?? false,
    level: options.level === undefined ? Level.UNSPECIFIED : parseLevel(options.level),
  };
  return new LogPrinter(out, format, fromLine, lineCount);
}

function attemptOf(job: JobRecord, number: number): Pick<Attempt, "number"> & Partial<Attempt> {
  return job.attempts.find((attempt) => attempt.number === number) ?? { number };
}

import { randomUUID } from "node:crypto";
import { create, toJson } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BulkCommandSchema,
  BulkOutcome,
  BulkRecordSchema,
  BulkState,
  HoldSchema,
  PreviewBulkResponseSchema,
  ReceiptState,
  ReceiptStateSchema,
  type BulkCommand,
  type BulkRecord,
  type BulkResult,
  type JobRecord,
  type LeverValue,
} from "@signalbox/protocol";
import { isOpen } from "@signalbox/protocol/job-state";
import { previewLines, progressWords, summaryWords } from "../bulk-words.ts";
import { selectionOf, type SelectionOptions } from "../bulk-selection.ts";
import { canAsk, confirm } from "../confirm.ts";
import { CliError, exitCodes, usageError } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { enumWord, receiptJson } from "../json.ts";
import { followReceipts } from "../many-receipts.ts";
import { outcomeWords } from "../receipts.ts";
import type { Room } from "../room.ts";
import { sanitise } from "../sanitise.ts";
import { watch, type Followed } from "../watch.ts";

/** Options of verbs that may command many jobs. Times in milliseconds. */
export interface ManyOptions extends SelectionOptions {
  /** Do not ask. */
  readonly yes?: boolean;
  /** How long it is held; default 5 s. */
  readonly hold?: number;
  /** At most so many jobs a second; default 100. */
  readonly rate?: number;
  /** How long the value holds in each job. */
  readonly for?: number;
  /** Wait until the workers have put it into effect, for at most `timeout`. */
  readonly wait: boolean;
  readonly timeout?: number;
}

const defaultHoldMs = 5_000;
const defaultTimeoutMs = 10_000;
const drawEveryMs = 250;

/** What each job gets: a value on a lever, or with undefined another attempt. */
export function bulkCommand(value: LeverValue | undefined, options: ManyOptions): BulkCommand {
  if (!value) return create(BulkCommandSchema, { action: { case: "retry", value: {} } });
  return create(BulkCommandSchema, {
    action: { case: "set", value },
    ...(options.for === undefined ? {} : { hold: create(HoldSchema, { durationMs: BigInt(options.for) }) }),
  });
}

/**
 * Commands many jobs: shows what will happen, asks, holds it for some seconds in which Ctrl+C takes it back, follows it to its end and the
 * jobs to their receipts, and says what became of each. `notDone` says what a job is that it did not reach (`Not paused`). Resolves with
 * the exit code: 0 if nothing was refused.
 */
export async function many(
  invocation: Invocation,
  refs: readonly string[],
  options: ManyOptions,
  command: BulkCommand,
  notDone: string,
): Promise<number> {
  const { out, signal } = invocation;
  const room = await invocation.room();
  const selection = await selectionOf(room, refs, options);
  const preview = await room.call("Nothing was done", () => room.bulks.previewBulk({ selection, command }));
  if (out.json) await out.object({ preview: toJson(PreviewBulkResponseSchema, preview) });
  else for (const line of previewLines(preview, command)) out.note(line);
  if (preview.touchedTotal === 0) return exitCodes.ok;
  if (!options.yes) {
    // Who names the jobs knows which they are.
    if (canAsk()) {
      if (!(await confirm("Go on?", signal))) throw new CliError(exitCodes.failed, "Nothing was done.");
    } else if (refs.length === 0)
      throw usageError("Nothing was done: nobody can be asked here.", "--yes goes on without asking.");
  }
  const request = {
    requestId: randomUUID(),
    ...{ selection, command, perSecond: options.rate ?? 0, holdMs: options.hold ?? defaultHoldMs },
  };
  const { bulk } = await room.call("Nothing was done", () => room.bulks.startBulk(request));
  if (!bulk) throw new CliError(exitCodes.failed, "The server's answer is empty.");
  invocation.endsItself = true;
  const ended = await follow(invocation, room, bulk, preview.touchedTotal);
  const interrupted = signal.aborted;
  const exitCode = await report(invocation, room, ended, { ...options, wait: options.wait && !interrupted }, notDone);
  return interrupted ? exitCodes.interrupted : exitCode;
}

/** Follows it to its end; when the signal aborts it is taken back, or stopped half-way. Resolves with the record and its results. */
async function follow(
  { out, signal }: Invocation,
  room: Room,
  start: BulkRecord,
  touched: number,
): Promise<BulkRecord> {
  const followed: Followed = {
    id: "bulks",
    kind: { case: "bulks", value: { $typeName: "signalbox.v1.BulksSubscription" } },
    cursor: new Uint8Array(),
  };
  const heldMs = Number(start.heldUntilUs - start.createdAtUs) / 1000;
  const beganMs = performance.now();
  let bulk = start;
  const draw = () => out.status(progressWords(bulk, touched, beganMs + heldMs - performance.now()));
  const timer = setInterval(draw, drawEveryMs);
  const over = new AbortController();
  try {
    draw();
    for await (const { kind, ...event } of watch(room, [followed], AbortSignal.any([signal, over.signal]))) {
      if (kind !== "message" || !("message" in event) || event.message.case !== "bulks") continue;
      bulk = event.message.value.records.find(({ id }) => id === start.id) ?? bulk;
      if (bulk.state !== BulkState.HELD && bulk.state !== BulkState.RUNNING) break;
    }
  } finally {
    clearInterval(timer);
    over.abort();
    out.status(undefined);
  }
  if (signal.aborted) await takeBack(room, start.id);
  const answer = await room.call("", () => room.bulks.getBulk({ bulkId: start.id }));
  return answer.bulk ?? bulk;
}

/** Takes it back if it is held, stops it if it runs; what has ended has ended. */
async function takeBack(room: Room, bulkId: string): Promise<void> {
  const acts: (() => Promise<unknown>)[] = [
    () => room.bulks.undoBulk({ bulkId }),
    () => room.bulks.stopBulk({ bulkId }),
  ];
  for (const act of acts) {
    try {
      await room.call("It could not be taken back", act);
      return;
    } catch (error) {
      const cause = error instanceof CliError ? error.cause : undefined;
      if (!(cause instanceof ConnectError) || cause.code !== Code.FailedPrecondition) throw error;
    }
  }
}

/** Says what became of each job, and returns the exit code that it means. */
async function report(
  { out, signal }: Invocation,
  room: Room,
  bulk: BulkRecord,
  { wait, timeout }: ManyOptions,
  notDone: string,
): Promise<number> {
  const generations = new Map(
    bulk.results.flatMap(({ jobId, outcome, generation }) =>
      outcome === BulkOutcome.ACCEPTED ? [[jobId, generation] as const] : [],
    ),
  );
  const jobs = new Set(bulk.results.map(({ jobId }) => jobId));
  const ends = AbortSignal.any([AbortSignal.timeout(timeout ?? defaultTimeoutMs), ...(wait ? [signal] : [])]);
  const waits = wait && bulk.state !== BulkState.UNDONE;
  const records =
    jobs.size === 0
      ? new Map<string, JobRecord>()
      : await followReceipts(room, jobs, generations, {
          ...{ waits, signal: ends },
          onWait: (open) => out.status(`${open} jobs have not answered yet`),
        });
  let exitCode: number = exitCodes.ok;
  for (const result of bulk.results) {
    const code = await reportOne(out, result, records.get(result.jobId), waits, notDone);
    if (exitCode === exitCodes.ok) exitCode = code;
  }
  if (out.json) {
    await out.object({ bulk: toJson(BulkRecordSchema, create(BulkRecordSchema, { ...bulk, results: [] })) });
  } else out.note(summaryWords(bulk));
  return exitCode;
}

async function reportOne(
  out: Invocation["out"],
  { jobId, outcome, reason, generation }: BulkResult,
  job: JobRecord | undefined,
  waited: boolean,
  notDone: string,
): Promise<number> {
  const name = sanitise(job?.name ?? jobId);
  const say = async (word: string, text: string, more: Record<string, unknown> = {}) => {
    if (out.json) await out.object({ jobId, name: job?.name ?? "", outcome: word, ...more });
    else await out.line(`${name}: ${text}`);
  };
  if (outcome === BulkOutcome.SKIPPED) {
    await say("skipped", `skipped: ${sanitise(reason)}`, { reason });
    return exitCodes.ok;
  }
  const not = `${notDone.charAt(0).toLowerCase()}${notDone.slice(1)}`;
  if (outcome !== BulkOutcome.ACCEPTED) {
    await say("refused", `${not}: ${sanitise(reason)}`, { reason });
    return exitCodes.failed;
  }
  const receipt = generation > 0n ? job?.receipts.find((each) => each.generation === generation) : undefined;
  if (!job || !receipt || (!waited && isOpen(receipt))) {
    await say("accepted", generation === 0n ? "waits for a worker" : "accepted");
    return exitCodes.ok;
  }
  const words = outcomeWords({ receipt, job, vitals: undefined });
  const json = { receipt: receiptJson(receipt) };
  if (isOpen(receipt)) {
    await say("pending", words, json);
    return exitCodes.pending;
  }
  const done = receipt.state === ReceiptState.APPLIED || receipt.state === ReceiptState.PROVED;
  await say(enumWord(ReceiptStateSchema, receipt.state), done ? words : `${not}: ${words}`, json);
  return done ? exitCodes.ok : exitCodes.failed;
}

import { create } from "@bufbuild/protobuf";
import {
  ResetSchema,
  addRawMessages,
  CaughtUpSchema,
  CursorKind,
  LogDeliverySchema,
  NotSentSchema,
  type LogSubscription,
  type Subscription,
  type WatchResponse,
} from "@signalbox/protocol";
import { readFirstLine, readMark } from "../logs/log-entry.ts";
import { levelCounts } from "../logs/logs.ts";
import type { StoredEnd } from "../logs/stored-logs.ts";
import { Wake } from "../wake.ts";
import type { LiveParts } from "./live-parts.ts";
import { pause } from "../pause.ts";
import { step } from "./step.ts";

const entriesField = 2;
const deliveryBytes = 256 * 1024;
const deliveryEveryMs = 16;
/** A reader that may skip does so when it is further behind than this. */
const skipBytes = 1024 * 1024;

/**
 * Follows the lines of one attempt from a cursor, a line, or the last so many. Stored bytes go out as they are. The reader pulls: one
 * that is slow is behind, and nothing is kept for it. Where there is no attempt yet it waits for the first. Ends after the seal, which
 * late evidence never has. Throws Refused.
 */
export async function* watchLog(
  parts: LiveParts,
  subscription: Subscription,
  log: LogSubscription,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const { id } = subscription;
  const { jobId } = log;
  const attempt = (await parts.attemptOf(jobId, log.attempt)) || (await firstAttempt(parts, jobId, signal));
  if (attempt === undefined) return;
  const logs = log.late ? parts.logs.late : parts.logs;
  const topic = logs.topic(jobId, attempt);
  const cursor = (position: number) => parts.cursors.make(CursorKind.JOURNAL, topic, position);
  const known = parts.cursors.read(subscription.cursor, CursorKind.JOURNAL, topic);
  if (known === undefined && subscription.cursor.length > 0)
    yield step(id, { case: "reset", value: create(ResetSchema, { reason: "another store" }) });
  let end = await logs.end(jobId, attempt);
  let from = known ?? (await logs.find(jobId, attempt, startLine(log, end)));
  const target = end.position;
  let caughtUp = false;
  // Where the log ends is said at once, so that a page knows its length before the first line is there.
  yield step(
    id,
    {
      case: "log",
      value: create(LogDeliverySchema, { attempt, endLine: BigInt(end.nextLine), levelCounts: levelCounts(end.mark) }),
    },
    cursor(from),
  );
  if (from >= target) {
    caughtUp = true;
    // Nothing follows the seal, and by it a reader knows that: who asks for lines behind the end has not seen it.
    const seal = end.sealed && known === undefined ? await parts.store.journal.last(topic) : undefined;
    if (seal) {
      const message = create(LogDeliverySchema, {
        ...{ attempt, endLine: BigInt(end.nextLine), levelCounts: levelCounts(end.mark) },
      });
      addRawMessages(message, entriesField, [seal.data]);
      yield step(id, { case: "log", value: message }, cursor(seal.position));
    }
    yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) });
    if (end.sealed) return;
  }
  let expected: number | undefined;
  // As much as the last time: who catches up takes whole deliveries, who follows a few lines.
  let usual = caughtUp ? 0 : deliveryBytes;
  for (;;) {
    await parts.turns.take(usual, signal);
    if (signal.aborted) return;
    let entries = await logs.read(jobId, attempt, from, deliveryBytes);
    const [first] = entries;
    let newest = entries.at(-1);
    if (!first || !newest) {
      usual = 0;
      await parts.store.journal.more(topic, from, signal);
      if (signal.aborted) return;
      continue;
    }
    expected ??= readFirstLine(first.data);
    end = await logs.end(jobId, attempt);
    const message = create(LogDeliverySchema, { attempt });
    if (log.allowSkip && end.mark.blobBytes - readMark(newest.data).blobBytes > BigInt(skipBytes)) {
      const resume = await logs.find(jobId, attempt, nearEnd(end));
      const later = resume > newest.position ? await logs.read(jobId, attempt, resume, deliveryBytes) : [];
      const [next] = later;
      if (next) {
        const firstLine = readFirstLine(next.data);
        message.notSent = create(NotSentSchema, {
          firstLine: BigInt(expected),
          lineCount: BigInt(firstLine - expected),
        });
        entries = later;
        newest = later.at(-1) ?? newest;
      }
    }
    message.endLine = BigInt(Math.max(end.nextLine, newest.mark));
    message.levelCounts = levelCounts(end.mark);
    addRawMessages(
      message,
      entriesField,
      entries.map(({ data }) => data),
    );
    from = newest.position;
    expected = newest.mark;
    usual = entries.reduce((sum, { data }) => sum + data.length, 0);
    yield step(id, { case: "log", value: message }, cursor(from));
    if (!caughtUp && from >= target) {
      caughtUp = true;
      yield step(id, { case: "caughtUp", value: create(CaughtUpSchema) });
    }
    if (newest.sealed || signal.aborted) return;
    await pause(deliveryEveryMs, signal);
  }
}

/** The number of a waiting job's first attempt, once it is assigned; undefined if `signal` aborts before. */
async function firstAttempt({ jobs }: LiveParts, jobId: string, signal: AbortSignal): Promise<number | undefined> {
  const job = jobs.get(jobId);
  const wake = new Wake();
  const remove = jobs.onEntry((changed) => changed === job && wake.notify());
  try {
    for (;;) {
      const first = job.record.attempts[0]?.number;
      if (first !== undefined || signal.aborted) return first;
      await wake.wait(signal);
    }
  } finally {
    remove();
  }
}

/** A line about half a delivery before the end, going by the mean length of the log's lines. */
function nearEnd(end: StoredEnd): number {
  const bytesPerLine = Math.max(1, Number(end.mark.blobBytes) / Math.max(1, end.nextLine - 1));
  return Math.max(1, end.nextLine - Math.ceil(deliveryBytes / 2 / bytesPerLine));
}

function startLine(log: LogSubscription, end: StoredEnd): number {
  switch (log.start.case) {
    case "fromLine":
      return Number(log.start.value);
    case "last":
      return end.nextLine - log.start.value;
    case undefined:
      return 1;
  }
}

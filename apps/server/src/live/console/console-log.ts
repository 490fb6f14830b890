import { create } from "@bufbuild/protobuf";
import { addRawMessages, ConsoleLogSchema, type ConsoleLog } from "@signalbox/protocol";
import { openAttempt } from "../../jobs/job-record.ts";
import { readFirstLine } from "../../logs/log-entry.ts";
import { pause } from "../../pause.ts";
import type { Position } from "../../store/store.ts";
import type { JobView } from "../job-view.ts";
import type { LiveParts } from "../live-parts.ts";
import { cutLines, nextLineAt } from "./next-lines.ts";
import type { RateGate } from "./rate-gate.ts";

const entriesField = 2;
const deliveryBytes = 256 * 1024;
/** A delivery follows the one before at least so much later, milliseconds: several lines go into one. */
const deliveryEveryMs = 16;
/** The same where lines are counted. */
const countedEveryMs = 50;
/** When an attempt is over, what does not fit into the rate for so long is left out, milliseconds. */
const lastLinesMs = 2_000;

/** Where a console's log begins. */
export interface LogStart {
  /** In the attempt that comes after this one; it may be one to come. */
  readonly after: number;
  readonly fromLine: number;
}

/**
 * The lines of a job as a console gets them: of one attempt after the other, in order, each once, until the job has ended. Where they
 * begin is said at once, so that a client that loses its stream knows where to go on. Without a limit none is left out, and a reader that is
 * slow is behind; with one, lines that do not fit are left out and counted.
 */
export async function* consoleLog(
  { logs, store, turns }: Pick<LiveParts, "logs" | "store" | "turns">,
  view: JobView,
  start: LogStart,
  gate: RateGate,
  signal: AbortSignal,
): AsyncGenerator<ConsoleLog> {
  const jobId = view.record.id;
  let attempt = await view.attemptAfter(start.after, signal);
  if (attempt === undefined) return;
  gate.count(1);
  yield delivery(attempt, start.fromLine, start.fromLine, start.fromLine);
  for (let next = start.fromLine; attempt !== undefined && !signal.aborted; next = 1) {
    const hurry = new Hurry(view, attempt);
    try {
      yield* attemptLog(attempt, next, AbortSignal.any([signal, hurry.signal]));
    } finally {
      hurry.stop();
    }
    attempt = await view.attemptAfter(attempt, signal);
  }

  async function* attemptLog(attempt: number, next: number, patience: AbortSignal): AsyncGenerator<ConsoleLog> {
    const topic = logs.topic(jobId, attempt);
    /** Where `next` is stored, if that is known. */
    let position: Position | undefined;
    /** As much as the last delivery, or nothing at the end of the log. */
    let usual = deliveryBytes;
    while (!signal.aborted) {
      let end = await logs.end(jobId, attempt);
      if (next >= end.nextLine) {
        if (end.sealed) return;
        usual = 0;
        await store.journal.more(topic, end.position, signal);
        continue;
      }
      const turn = await gate.turn(patience);
      // Not before the seal: what came meanwhile would be left out although it may fit.
      if (!turn && !signal.aborted && !end.sealed) await store.journal.more(topic, end.position, signal);
      if (signal.aborted) return turn?.end(0);
      end = await logs.end(jobId, attempt);
      if (!turn) {
        if (!end.sealed) continue;
        gate.count(1);
        yield delivery(attempt, next, end.nextLine, end.nextLine);
        return;
      }
      if (turn.allowed === Infinity) {
        position ??= await logs.find(jobId, attempt, next);
        await turns.take(usual, signal);
        const entries = (await logs.read(jobId, attempt, position, deliveryBytes)).filter(({ sealed }) => !sealed);
        turn.end(0);
        const [first] = entries;
        const newest = entries.at(-1);
        if (!first || !newest) throw new Error(`line ${next} of ${topic} is not stored below line ${end.nextLine}`);
        const firstLine = Math.max(next, readFirstLine(first.data));
        const message = delivery(attempt, firstLine, firstLine, newest.mark);
        addRawMessages(
          message,
          entriesField,
          entries.map(({ data }) => data),
        );
        usual = entries.reduce((sum, { data }) => sum + data.length, 0);
        next = newest.mark;
        position = newest.position;
        yield message;
        await pause(deliveryEveryMs, signal);
      } else {
        position = undefined;
        const wanted = nextLineAt(gate.perSecond, next, end.nextLine);
        const from = await logs.find(jobId, attempt, wanted);
        const stored = await logs.read(jobId, attempt, from, deliveryBytes);
        const lines = cutLines(
          stored.map(({ data }) => data),
          wanted,
          turn.allowed,
        );
        turn.end(lines.count);
        const message = delivery(attempt, next, lines.firstLine, lines.nextLine);
        message.entries = lines.entries;
        next = lines.nextLine;
        yield message;
        await pause(countedEveryMs, signal);
      }
    }
  }
}

/** A run of lines, without its entries. `next` is the line that the client has not got yet: those up to `firstLine` are left out. */
function delivery(attempt: number, next: number, firstLine: number, nextLine: number): ConsoleLog {
  return create(ConsoleLogSchema, {
    attempt,
    firstLine: BigInt(firstLine),
    nextLine: BigInt(nextLine),
    skippedLines: BigInt(firstLine - next),
  });
}

/** Aborts some time after an attempt is seen to be over, so that a job's end is not told late for the sake of a low rate. */
class Hurry {
  readonly #abort = new AbortController();
  readonly #remove: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(view: JobView, attempt: number) {
    const look = () => {
      if (this.#timer || openAttempt(view.record)?.number === attempt) return;
      this.#timer = setTimeout(() => this.#abort.abort(), lastLinesMs);
    };
    this.#remove = view.onChange(look);
    look();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#remove();
  }
}

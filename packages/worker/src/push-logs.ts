import { setTimeout as delay } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type Client } from "@connectrpc/connect";
import {
  LogRefusalSchema,
  PushLogsRequestSchema,
  type LogRefusal,
  type PushLogsRequest,
  type WorkerService,
} from "@signalbox/protocol";
import type { Bell } from "./bell.ts";
import { Wire, type WireShare } from "./wire.ts";
import { LinesUnknown, type GapRun, type LineRun } from "./unacked-lines.ts";

/** Lines to be delivered: the log of an attempt, or what is left of one in a spool. */
export interface PushedLog {
  /** Rings when there may be something to send. */
  readonly ready: Bell;
  /** Whether there are lines that the server does not have. */
  readonly hasLines: boolean;
  /** No line will follow, and the server has them all. */
  readonly isDrained: boolean;
  /** The number after the newest line. */
  readonly nextLine: number;
  /** All lines below this number are acknowledged. */
  readonly ackedLine: number;
  /** A stream is open and the server goes on at `nextLine`. Returns how many acknowledged lines it lost. Throws LinesUnknown. */
  startStreaming(nextLine: number): number;
  /** The stream is gone. */
  stopStreaming(): void;
  /** All lines below `nextLine` are on disk. Returns whether that was news. Throws LinesUnknown. */
  ack(nextLine: number): boolean;
  /** What to send next, if anything is due and `creditBytes` allow it. */
  take(creditBytes: number): LineRun | undefined;
  /** The server refuses the newest chunk on the wire. Returns the gap that takes its place. */
  refuse(reason: string): GapRun | undefined;
}

/** Whose lines go where. */
export interface LogPush {
  readonly log: PushedLog;
  readonly jobId: string;
  readonly attempt: number;
  /** The process that wrote the lines. */
  readonly incarnation: string;
  /** That process is gone, and this one delivers its spool. */
  readonly spooled?: boolean;
  /** Whether it is over when the server says that it takes no line of the attempt, because nothing else will. Default: no. */
  readonly endsWhenRefused?: () => boolean;
  readonly client: Client<typeof WorkerService>;
  /** What all streams of the link have on the wire. Default: nothing but this one. */
  readonly wire?: Wire;
  /** Aborts with the link. */
  readonly signal: AbortSignal;
  /** Something that the worker's owner should know. */
  notice(message: string): void;
}

const firstDelayMs = 100;
const longestDelayMs = 5000;

/**
 * Delivers the lines of one attempt over one link: opens a stream when there is something to send, goes on where the server says, and
 * opens another one when it breaks. Resolves when the log is drained or discarded, or when the link's signal aborts; with the reason if
 * the server takes no line of the attempt. Rejects with LinesUnknown if the server has lines that this process never made.
 */
export async function pushLogs(push: LogPush): Promise<string | undefined> {
  const { log, signal } = push;
  let failures = 0;
  /** Until this line is acknowledged chunks go one by one, so that it is certain which one the server refuses. */
  let carefulUntil = 0;
  while (!signal.aborted && !log.isDrained) {
    if (!log.hasLines) {
      await log.ready.wait({ signal });
      continue;
    }
    const stream = new LogStream(push, () => log.ackedLine < carefulUntil);
    try {
      await stream.run();
      // The server has ended the stream, and lines are left.
      failures++;
    } catch (error) {
      if (error instanceof LinesUnknown) throw error;
      if (stream.isCut || log.isDrained) return undefined;
      failures = stream.hasProgressed ? 0 : failures + 1;
      const { code, rawMessage } = ConnectError.from(error);
      if ((code === Code.FailedPrecondition || code === Code.NotFound) && push.endsWhenRefused?.()) {
        const stored = Number(refusalOf(error)?.nextLine ?? 0n);
        if (stored < log.nextLine) return rawMessage;
        // Nothing can follow, and nothing has to.
        log.ack(log.nextLine);
        return undefined;
      }
      if (code === Code.InvalidArgument && stream.wasOpened) {
        const reason = refusalOf(error)?.reason ?? rawMessage;
        if (log.ackedLine < carefulUntil) {
          const gap = log.refuse(reason);
          if (gap)
            push.notice(`the server refuses lines ${gap.firstLine} to ${gap.firstLine + gap.lineCount - 1}: ${reason}`);
        }
        carefulUntil = log.nextLine;
      } else if (code !== Code.Aborted && code !== Code.Unavailable && failures === 1) {
        push.notice(`lines wait: ${rawMessage}`);
      }
    }
    if (failures > 0) {
      const ms = Math.min(longestDelayMs, firstDelayMs * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
      await delay(ms, undefined, { signal }).catch(() => undefined); // the loop looks at the signal
    }
  }
  return undefined;
}

/** One PushLogs call. */
class LogStream {
  readonly #push: LogPush;
  readonly #isCareful: () => boolean;
  readonly #controller = new AbortController();
  readonly #wire: Wire;
  readonly #share: WireShare;
  #creditBytes = 0;
  #opened = false;
  #progressed = false;

  constructor(push: LogPush, isCareful: () => boolean) {
    this.#push = push;
    this.#wire = push.wire ?? new Wire();
    this.#share = this.#wire.open();
    this.#isCareful = isCareful;
  }

  /** The link has gone. */
  get isCut(): boolean {
    return this.#push.signal.aborted;
  }

  /** The server has answered. */
  get wasOpened(): boolean {
    return this.#opened;
  }

  /** The server has acknowledged something new. */
  get hasProgressed(): boolean {
    return this.#progressed;
  }

  async run(): Promise<void> {
    const { log, client, signal } = this.#push;
    const cut = () => this.#controller.abort();
    signal.addEventListener("abort", cut, { once: true });
    if (signal.aborted) cut();
    try {
      for await (const response of client.pushLogs(this.#requests(), { signal: this.#controller.signal })) {
        const nextLine = Number(response.nextLine);
        this.#share.acknowledged(nextLine);
        if (this.#opened) {
          if (log.ack(nextLine)) this.#progressed = true;
        } else {
          this.#opened = true;
          const lost = log.startStreaming(nextLine);
          if (lost > 0)
            this.#push.notice(
              `the server's store was set back: ${lost} acknowledged lines from ${nextLine} on are lost, declared as a gap`,
            );
        }
        this.#creditBytes = response.creditBytes;
        log.ready.ring();
      }
    } finally {
      signal.removeEventListener("abort", cut);
      log.stopStreaming();
      this.#share.close();
      this.#controller.abort();
    }
  }

  async *#requests(): AsyncGenerator<PushLogsRequest, void, undefined> {
    const { log, jobId, attempt, incarnation, spooled = false } = this.#push;
    const { signal } = this.#controller;
    yield create(PushLogsRequestSchema, { message: { case: "open", value: { jobId, attempt, incarnation, spooled } } });
    while (!signal.aborted) {
      if (this.#opened) {
        if (log.isDrained) return;
        if (!this.#wire.hasRoom) {
          await this.#wire.freed.wait({ signal });
          continue;
        }
        const run = log.take(this.#isCareful() ? 1 : this.#creditBytes);
        if (run) {
          if (run.kind === "chunk") this.#share.sent(run.firstLine + run.lineCount, run.bytes.length);
          yield requestOf(run);
          continue;
        }
      }
      await log.ready.wait({ signal });
    }
  }
}

function requestOf(run: LineRun): PushLogsRequest {
  if (run.kind === "chunk") return create(PushLogsRequestSchema, { message: { case: "chunk", value: run.bytes } });
  const { cause, detail } = run;
  const value = { firstLine: BigInt(run.firstLine), lineCount: BigInt(run.lineCount), cause, detail };
  return create(PushLogsRequestSchema, { message: { case: "gap", value } });
}

function refusalOf(error: unknown): LogRefusal | undefined {
  return ConnectError.from(error).findDetails(LogRefusalSchema)[0];
}

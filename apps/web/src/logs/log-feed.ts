import { Code, ConnectError, type Client } from "@connectrpc/connect";
import type { LogEntry, LogService, Subscription, WatchResponse } from "@signalbox/protocol";
import { backOffMs } from "../live/back-off.ts";
import type { Watched } from "../live/watch-link.ts";
import { GapFinder } from "./gap-finder.ts";
import { LogStore } from "./log-store.ts";

/** Lines before the end that come with the subscription; the rest is read when it is looked at. */
const lastLines = 1_000;
/** Lines around what is looked at that are read with it. */
const marginLines = 300;
/** Lines beside those that are looked at that are drawn with them, or soon will be: that one of them is missing is a reason to read. */
const aheadLines = 50;
/** Memory for lines, estimated bytes. */
const budgetBytes = 48_000_000;
/** A range is read when the reader has looked at it for so long: a dragged thumb passes many. */
const settleMs = 50;
/** Lines that are missing somewhere are looked for so long after they were counted. */
const gapsAfterMs = 500;

/**
 * Fills the store of one attempt: the live end through a subscription, any other range on demand. Knows nothing of how lines are
 * shown. Ended by `close`.
 */
export class LogFeed implements Watched {
  readonly id: string;
  readonly store: LogStore;
  /** Why lines that are looked at are not here; undefined if nothing is wrong. */
  fault: string | undefined;
  readonly #client: Client<typeof LogService>;
  readonly #jobId: string;
  readonly #attempt: number;
  readonly #late: boolean;
  readonly #onChange: () => void;
  #wanted: { readonly from: number; readonly to: number };
  #load: { readonly from: number; readonly to: number; readonly stop: AbortController } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #closed = false;
  readonly #gaps: GapFinder;
  #gapTimer: ReturnType<typeof setTimeout> | undefined;
  #ends: { readonly atMs: number; readonly line: number }[] = [];

  /**
   * `onChange` is called after each change of the store or of `fault`. With `lateFrom` it is the log of the attempt's late lines, which
   * begins with that number. Of two feeds of one log one is `beside` the other.
   */
  constructor(
    client: Client<typeof LogService>,
    jobId: string,
    attempt: number,
    onChange: () => void,
    lateFrom?: number,
    beside = false,
  ) {
    this.#client = client;
    this.#jobId = jobId;
    this.#attempt = attempt;
    this.#late = lateFrom !== undefined;
    this.#onChange = onChange;
    this.id = `${this.#late ? "late-log" : "log"}/${jobId}/${attempt}${beside ? "/beside" : ""}`;
    this.store = new LogStore(lateFrom);
    this.#wanted = { from: this.store.beginLine, to: this.store.beginLine };
    this.#gaps = new GapFinder(this.store, (line, signal) => this.#readEntry(line, signal), onChange);
  }

  kind(): Subscription["kind"] {
    return {
      case: "log",
      value: {
        $typeName: "signalbox.v1.LogSubscription",
        jobId: this.#jobId,
        attempt: this.#attempt,
        start: { case: "last", value: lastLines },
        allowSkip: true,
        late: this.#late,
      },
    };
  }

  apply(message: WatchResponse["message"]): void {
    switch (message.case) {
      case "log":
        for (const entry of message.value.entries) this.store.add(entry);
        this.store.learnEnd(Number(message.value.endLine), message.value.levelCounts);
        break;
      case "reset":
        this.store.reset();
        break;
      case "error":
        this.fault = message.value.message;
        break;
      default:
        return;
    }
    this.#changed();
  }

  /** Lines a second that were stored lately, over the last 3 s. */
  linesPerSecond(nowMs: number): number {
    const from = nowMs - 3_000;
    while (this.#ends.length > 1 && (this.#ends[1]?.atMs ?? Infinity) <= from) this.#ends.shift();
    const first = this.#ends[0];
    const last = this.#ends.at(-1);
    if (!first || !last || last.atMs <= from || last.line === first.line) return 0;
    return (last.line - first.line) / Math.max(1, (nowMs - Math.max(first.atMs, from)) / 1000);
  }

  /** The lines that are looked at, `to` exclusive. What is missing of them is read; what is far from them may be forgotten. */
  want(from: number, to: number): void {
    const same = from === this.#wanted.from && to === this.#wanted.to;
    this.#wanted = { from, to };
    const load = this.#load;
    if (load && (load.to <= from || load.from >= to)) {
      load.stop.abort();
      this.#load = undefined;
    }
    // Who reads asks for the same lines with each line that comes at the end: the wait for what is missing goes on.
    this.#loadSoon(same || this.#failures > 0 ? undefined : settleMs);
  }

  /** Stops reading and forgets timers. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#gapTimer);
    this.#gaps.close();
    this.#load?.stop.abort();
  }

  #changed(): void {
    const { store } = this;
    store.evict((this.#wanted.from + this.#wanted.to) / 2, budgetBytes);
    const newest = this.#ends.at(-1);
    const atMs = Date.now();
    if (!newest || store.endLine !== newest.line) {
      if (newest && atMs - newest.atMs < 100)
        this.#ends[this.#ends.length - 1] = { atMs: newest.atMs, line: store.endLine };
      else this.#ends.push({ atMs, line: store.endLine });
      if (this.#ends.length > 64) this.#ends.shift();
    }
    this.#onChange();
    if (store.missingLines > 0 && !this.#closed)
      this.#gapTimer ??= setTimeout(() => {
        this.#gapTimer = undefined;
        void this.#gaps.look();
      }, gapsAfterMs);
  }

  /** The stored entry that holds a line. */
  async #readEntry(line: number, signal: AbortSignal): Promise<LogEntry | undefined> {
    const { entries } = await this.#client.readLogs(
      {
        jobId: this.#jobId,
        attempt: this.#attempt,
        fromLine: BigInt(line),
        lineCount: 1n,
        maxBytes: 1,
        late: this.#late,
      },
      { signal },
    );
    return entries[0];
  }

  /** Looks again after `waitMs` what is missing; undefined: leaves a timer that runs as it is. */
  #loadSoon(waitMs: number | undefined): void {
    if (this.#load || this.#closed) return;
    if (waitMs === undefined && this.#timer !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const from = Math.max(this.store.beginLine, this.#wanted.from - marginLines);
      const to = Math.min(this.store.endLine, this.#wanted.to + marginLines);
      // The margin alone is no reason to read.
      const missing = this.store.firstMissing(
        Math.max(this.store.beginLine, this.#wanted.from - aheadLines),
        Math.min(this.store.endLine, this.#wanted.to + aheadLines),
      );
      if (missing) void this.#read(this.store.firstMissing(from, missing.from + 1) ?? missing, to);
    }, waitMs ?? settleMs);
  }

  async #read(missing: { from: number }, to: number): Promise<void> {
    const load = { from: missing.from, to, stop: new AbortController() };
    this.#load = load;
    try {
      const answer = await this.#client.readLogs(
        {
          jobId: this.#jobId,
          attempt: this.#attempt,
          fromLine: BigInt(load.from),
          lineCount: BigInt(to - load.from),
          maxBytes: 512 * 1024,
          late: this.#late,
        },
        { signal: load.stop.signal },
      );
      if (this.#load !== load) return;
      for (const entry of answer.entries) this.store.add(entry);
      this.store.learnEnd(Number(answer.endLine), []);
      if (answer.sealed) this.store.sealed = true;
      this.#failures = 0;
      this.fault = undefined;
      this.#load = undefined;
      this.#changed();
      this.#loadSoon(0);
    } catch (error) {
      if (this.#load !== load) return;
      this.#load = undefined;
      const refusal = ConnectError.from(error);
      this.fault = refusal.code === Code.Unavailable ? "the server cannot be reached" : refusal.rawMessage;
      this.#failures++;
      this.#onChange();
      this.#loadSoon(backOffMs(this.#failures, Math.random()));
    }
  }
}

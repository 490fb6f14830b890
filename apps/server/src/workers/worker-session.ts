import { create } from "@bufbuild/protobuf";
import {
  AttemptSpecSchema,
  ConnectResponseSchema,
  ServerHeartbeatSchema,
  type AttemptSpec,
  type ConnectResponse,
  type Hello,
  type JobRecord,
} from "@signalbox/protocol";
import { openAttempt } from "../jobs/job-record.ts";
import type { Candidate } from "../jobs/dispatch.ts";
import { pause } from "../pause.ts";
import { noFigures, type LinkFigures } from "./link-figures.ts";

/** No worker's clock is further away, microseconds: 250 years. What is further is taken for a fault and bounded. */
const farthestClockUs = 8e15;
const keptHeartbeats = 16;
/** Wall clocks are read in milliseconds, and slewed by a little. */
const clockReadingErrorUs = 5_000;

/** Makes a message at the moment at which it is sent, so that it is the newest; undefined if there is nothing to say any more. */
type MakeMessage = () => ConnectResponse | undefined;

/**
 * One connected worker process. What is to be said to it is kept by key, newest only: a slow worker makes no queue grow.
 */
export class WorkerSession implements Candidate {
  readonly workerId: string;
  readonly incarnation: string;
  readonly slots: number;
  readonly jobTypes: ReadonlySet<string>;
  readonly labels: Record<string, string>;
  readonly metadata: Record<string, string>;
  readonly hello: Hello;
  readonly epoch: bigint;
  /** Microseconds to add to the worker's clock. */
  clockOffsetUs: number;
  roundTripUs = 0;
  /** What it said of its link last. */
  figures: LinkFigures = noFigures;
  /** It said that it leaves. */
  leaving = false;
  /** Whoever sends to it looks for what is due. */
  onDue: (() => void) | undefined;
  /** It was asked to release what it runs and exit. */
  stopping = false;
  /** An operator wants it to have no more work. */
  drained = false;
  /** How far the offset may be off, microseconds. */
  #offsetErrorUs = Infinity;
  readonly #measured = Promise.withResolvers<void>();
  #isClockMeasured = false;
  /** Server times of heartbeats that were sent and not answered. */
  readonly #unanswered = new Set<number>();
  readonly #outbox = new Map<string, MakeMessage>();
  readonly #ended = new AbortController();
  /** What the worker's stream is to end with. */
  #failure: { readonly reason: unknown } | undefined;

  /** `now` is the server's clock when the hello came, microseconds. */
  constructor(hello: Hello, epoch: bigint, now: number) {
    this.workerId = hello.workerId;
    this.incarnation = hello.incarnation;
    this.slots = hello.slots;
    this.jobTypes = new Set(hello.jobTypes.map(({ name }) => name));
    this.labels = hello.labels;
    this.metadata = hello.metadata;
    this.hello = hello;
    this.epoch = epoch;
    this.clockOffsetUs = offset(now, Number(hello.workerTimeUs));
  }

  /** A heartbeat to be sent now. `now` is server clock, microseconds. */
  heartbeat(now: number): ConnectResponse {
    this.#unanswered.add(now);
    for (const sentAt of this.#unanswered) {
      if (this.#unanswered.size <= keptHeartbeats) break;
      this.#unanswered.delete(sentAt);
    }
    return down({ case: "heartbeat", value: create(ServerHeartbeatSchema, { serverTimeUs: BigInt(now) }) });
  }

  /**
   * Folds the answer to a server heartbeat; one that was not sent is ignored. Times in microseconds. The worker read its clock somewhere
   * within the round trip, so its half is how far the offset may be off. The shortest one counts, unless another contradicts it: then
   * one of the clocks was set.
   */
  measure(sentAt: number, workerTime: number, now: number): void {
    if (!this.#unanswered.delete(sentAt) || now - sentAt > 0xffff_ffff) return;
    this.roundTripUs = Math.max(0, now - sentAt);
    const errorUs = this.roundTripUs / 2;
    const offsetUs = offset((sentAt + now) / 2, workerTime);
    const contradicts = Math.abs(offsetUs - this.clockOffsetUs) > errorUs + this.#offsetErrorUs + clockReadingErrorUs;
    if (errorUs <= this.#offsetErrorUs || contradicts) {
      this.#offsetErrorUs = errorUs;
      this.clockOffsetUs = offsetUs;
    }
    this.#isClockMeasured = true;
    this.#measured.resolve();
  }

  /** Whether the worker's clock was measured over this link, or it does not tell the time. */
  get isClockMeasured(): boolean {
    return this.#isClockMeasured || this.hello.workerTimeUs === 0n;
  }

  /**
   * Resolves when the worker's clock was measured over this link, which takes a round trip; at the latest after `ms`, or when the session
   * ends. Until then the offset is what the hello gave, which was on its way for nobody knows how long.
   */
  async clockMeasured(ms: number): Promise<void> {
    const stop = new AbortController();
    await Promise.race([this.#measured.promise, pause(ms, AbortSignal.any([stop.signal, this.closed]))]);
    stop.abort();
  }

  /** Whether the worker has said what its clock shows: only then is {@link serverTime} more than a guess. */
  get tellsTime(): boolean {
    return this.hello.workerTimeUs !== 0n;
  }

  /** A time on the worker's clock as server clock, neither before the epoch nor after `now`. Microseconds. */
  serverTime(workerTime: number, now: number): number {
    return Math.min(Math.max(0, workerTime + this.clockOffsetUs), now);
  }

  /** Says something; what was to be said under the same key and is not sent yet is replaced. */
  say(key: string, make: MakeMessage): void {
    this.#outbox.set(key, make);
    this.wake();
  }

  /** Ends the session; with a reason the worker's stream ends with that error. The first call counts. */
  end(reason?: unknown): void {
    if (this.#ended.signal.aborted) return;
    if (reason !== undefined) this.#failure = { reason };
    this.#ended.abort();
    this.wake();
  }

  /** Whether it is on its way out, by its own word or because it was asked. */
  get isLeaving(): boolean {
    return this.leaving || this.stopping;
  }

  /** Whether it may be given another attempt. */
  get takesWork(): boolean {
    return !this.drained && !this.isLeaving && !this.#ended.signal.aborted;
  }

  /** Aborted when the session has ended, whoever ended it. */
  get closed(): AbortSignal {
    return this.#ended.signal;
  }

  /** Throws the reason for which the session was ended, if one was given. */
  throwReason(): void {
    if (this.#failure) throw this.#failure.reason;
  }

  /** What is to be said next; undefined if there is nothing at present. */
  next(): ConnectResponse | undefined {
    for (const [key, make] of this.#outbox) {
      this.#outbox.delete(key);
      const message = make();
      if (message) return message;
    }
    return undefined;
  }

  /** Has whoever sends look again: there may be something to be sent, or the session has ended. */
  wake(): void {
    this.onDue?.();
  }
}

/** What a worker is told about the open attempt of a job; undefined if it has none. `now` is server clock, microseconds. */
export function attemptSpec(record: JobRecord, now: number): AttemptSpec | undefined {
  const attempt = openAttempt(record);
  if (!attempt) return undefined;
  const spec = create(AttemptSpecSchema, {
    jobId: record.id,
    attempt: attempt.number,
    type: record.type,
    name: record.name,
    labels: record.labels,
    checkpoint: attempt.checkpoint,
    ...(record.spec ? { spec: { ...record.spec, levers: record.spec.levers.map((setting) => ({ ...setting })) } } : {}),
  });
  for (const setting of spec.spec?.levers ?? []) {
    setting.setBy = record.receipts.find(({ generation }) => generation === setting.generation)?.actor?.name ?? "";
    const { hold } = setting;
    if (!hold) continue;
    const remainingMs = hold.endsAtUs === 0n ? hold.durationMs : (hold.endsAtUs - BigInt(now)) / 1000n;
    setting.hold = { ...hold, remainingMs: remainingMs > 0n ? remainingMs : 0n };
  }
  return spec;
}

/** A message for a worker. */
export function down(message: ConnectResponse["message"]): ConnectResponse {
  return create(ConnectResponseSchema, { message });
}

/** What to add to the worker's clock; nothing if it does not tell the time. */
function offset(serverTime: number, workerTime: number): number {
  if (workerTime === 0) return 0;
  return Math.round(Math.min(Math.max(serverTime - workerTime, -farthestClockUs), farthestClockUs));
}

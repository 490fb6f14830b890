import { setImmediate as nextTurn } from "node:timers/promises";
import type { AttemptLog } from "./attempt-log.ts";
import type { AttemptProgress } from "./attempt-progress.ts";
import type { Bell } from "./bell.ts";
import type { Clock } from "./clock.ts";
import { isInputPieces } from "./job-input.ts";
import { Pacer } from "./pacer.ts";
import { RecentGaps } from "./recent-gaps.ts";

/** A job that never waits for anything lets the process breathe this often, milliseconds. */
const breatheEveryMs = 10;

/** What holds a job at its safe points. */
export interface SafePointParts {
  readonly clock: Clock;
  readonly log: AttemptLog;
  readonly progress: AttemptProgress;
  /** Rings when any of this may have changed. */
  readonly wake: Bell;
  /** Throws when the job shall end. */
  throwIfAborted(): void;
  /** Whether the job ends by itself when it shall, and prints until then. */
  cancelsItself(): boolean;
  /** Whether the job shall stand, and whether it does. */
  shallStand(): boolean;
  isStanding(): boolean;
  /** The job stands; it goes on. */
  stand(): void;
  goOn(): void;
}

/** Where a job waits: while it is paused, for the speed that was asked for, and for room for its lines. */
export class SafePoints {
  readonly #parts: SafePointParts;
  readonly #pacer = new Pacer();
  /** How long the job worked from one safe point to the next. */
  readonly #gaps = new RecentGaps();
  #leftAtMs: number | undefined;
  #breathedAtMs = 0;

  constructor(parts: SafePointParts) {
    this.#parts = parts;
  }

  /** Items per second; undefined is unlimited. */
  setSpeed(itemsPerSecond: number | undefined): void {
    this.#pacer.setSpeed(itemsPerSecond);
    this.#parts.wake.ring();
  }

  /** The schedule starts anew: the job goes on after it stood. */
  restart(): void {
    this.#pacer.restart();
    this.#parts.progress.restartRate();
  }

  /** How long the job usually needs to reach a safe point, milliseconds; undefined if it has not reached two. */
  get usualWaitMs(): number | undefined {
    return this.#gaps.median;
  }

  /** Yields each item when it is due, and counts those that are done. */
  async *paced<T>(items: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    const { progress } = this.#parts;
    if (Array.isArray(items)) progress.expect(items.length);
    if (isInputPieces(items)) {
      yield* this.#pacedInput(items);
      return;
    }
    for await (const item of items) {
      await this.pass({ paced: true });
      yield item;
      progress.countItem();
    }
  }

  /**
   * Returns when the job may go on: not paused, room for lines, what it waits for `isReady`, and, if it is paced, the next item is due.
   */
  async pass({ paced, isReady }: { paced: boolean; isReady?: () => boolean }): Promise<void> {
    const { clock, log, progress, wake } = this.#parts;
    if (this.#leftAtMs !== undefined) this.#gaps.add(clock.monotonicMs() - this.#leftAtMs);
    // Of several loops, one that stands here counts from when it goes on.
    this.#leftAtMs = undefined;
    for (;;) {
      this.#parts.throwIfAborted();
      if (this.#parts.shallStand()) {
        progress.stalledBy = "";
        this.#parts.stand();
        await wake.wait();
        continue;
      }
      if (this.#parts.isStanding()) {
        this.restart();
        this.#parts.goOn();
      }
      if (log.isFull) {
        progress.stalledBy = log.waitsFor;
        await wake.wait();
        continue;
      }
      progress.stalledBy = "";
      if (isReady && !isReady()) {
        await wake.wait();
        continue;
      }
      const nowMs = clock.monotonicMs();
      const waitMs = paced ? this.#pacer.dueMs(nowMs) - nowMs : 0;
      if (waitMs > 0) {
        this.#breathedAtMs = nowMs;
        await wake.wait({ ms: Math.ceil(waitMs) });
        continue;
      }
      if (nowMs - this.#breathedAtMs >= breatheEveryMs) {
        await this.#breathe();
        continue;
      }
      if (paced) this.#pacer.begin(nowMs);
      this.#leftAtMs = nowMs;
      return;
    }
  }

  /** Returns when there is room for lines. */
  async roomForLines(): Promise<void> {
    const { clock, log, progress, wake } = this.#parts;
    while (log.isFull) {
      if (!this.#parts.cancelsItself()) this.#parts.throwIfAborted();
      progress.stalledBy = log.waitsFor;
      await wake.wait();
    }
    progress.stalledBy = "";
    if (clock.monotonicMs() - this.#breathedAtMs >= breatheEveryMs) await this.#breathe();
  }

  /** Where a piece of input is waited for, the job stands in our hands: it can be paused before the piece has come. */
  async *#pacedInput<T>(pieces: AsyncIterable<T> & { readonly isReady: boolean }): AsyncGenerator<T, void, undefined> {
    const iterator = pieces[Symbol.asyncIterator]();
    for (;;) {
      await this.pass({ paced: true, isReady: () => pieces.isReady });
      const next = await iterator.next();
      if (next.done) return;
      yield next.value;
      this.#parts.progress.countItem();
    }
  }

  /** Lets timers and sockets have their turn; promises alone would keep them waiting for as long as the job has work. */
  async #breathe(): Promise<void> {
    await nextTurn();
    this.#breathedAtMs = this.#parts.clock.monotonicMs();
  }
}

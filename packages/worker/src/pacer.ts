/** When a job is this far behind its schedule, the schedule starts anew: what was missed is not made up for. Milliseconds. */
export const BEHIND_MS = 20;

/**
 * Says when the next item of a job is due: item k at anchor + k / speed. The anchor is set anew when the speed changes, on resume, and
 * when the job is more than 20 ms behind; never so that two items come closer than the speed allows. Pure: times are told, milliseconds
 * of a clock that never goes back.
 */
export class Pacer {
  #intervalMs = 0;
  #anchorMs = -Infinity;
  /** Items begun since the anchor. */
  #begun = 0;
  #lastBegunMs = -Infinity;

  /** Items per second, above 0; undefined is unlimited. */
  setSpeed(itemsPerSecond: number | undefined): void {
    this.#intervalMs = itemsPerSecond === undefined ? 0 : 1000 / itemsPerSecond;
    this.restart();
  }

  /** The job goes on after it stood. */
  restart(): void {
    this.#anchorMs = this.#lastBegunMs;
    this.#begun = 1;
  }

  /** When the next item may begin: a time that is not later than `nowMs` says now. */
  dueMs(nowMs: number): number {
    if (this.#intervalMs === 0) return nowMs;
    let dueMs = this.#anchorMs + this.#begun * this.#intervalMs;
    if (dueMs < nowMs - BEHIND_MS) {
      this.#anchorMs = nowMs;
      this.#begun = 0;
      dueMs = nowMs;
    }
    return dueMs;
  }

  /** An item begins now. */
  begin(nowMs: number): void {
    this.#begun++;
    this.#lastBegunMs = nowMs;
  }
}

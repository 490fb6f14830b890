/** Default bound of unacknowledged bytes in one worker process. */
export const DEFAULT_BUFFER_BYTES = 64 * 1024 * 1024;

/**
 * How many bytes of lines a worker process holds that the server has not acknowledged, all attempts together. Above the bound jobs
 * wait where they can; at twice the bound the job that holds too much fails.
 */
export class LineBudget {
  readonly boundBytes: number;
  #bytes = 0;
  readonly #holders = new Set<() => void>();

  constructor(boundBytes: number = DEFAULT_BUFFER_BYTES) {
    this.boundBytes = boundBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Jobs shall wait. */
  get isFull(): boolean {
    return this.#bytes >= this.boundBytes;
  }

  /** A log that will hold bytes. `onRoom` is called when the budget is full no longer. */
  open(onRoom: () => void): BudgetShare {
    const holder = () => onRoom();
    this.#holders.add(holder);
    let held = 0;
    let closed = false;
    const change = (bytes: number) => {
      const wasFull = this.isFull;
      this.#bytes += bytes - held;
      held = bytes;
      if (wasFull && !this.isFull) for (const tell of [...this.#holders]) tell();
    };
    return {
      set: (bytes) => {
        if (!closed) change(bytes);
      },
      isFull: () => this.isFull,
      // The one that fails is one that holds more than its share, so that a quiet job never fails for a loud one.
      isOver: () => this.#bytes >= 2 * this.boundBytes && held * this.#holders.size >= 2 * this.boundBytes,
      close: () => {
        if (closed) return;
        closed = true;
        this.#holders.delete(holder);
        change(0);
      },
    };
  }
}

/** What one log holds of the budget. */
export interface BudgetShare {
  /** The log now holds so many bytes. */
  set(bytes: number): void;
  /** The process is at its bound. */
  isFull(): boolean;
  /** The process is at twice its bound, and this log holds at least its part. */
  isOver(): boolean;
  /** The log holds nothing any more and will not. */
  close(): void;
}

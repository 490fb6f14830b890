/** Default bound of unacknowledged bytes in the memory of one worker process. */
export const DEFAULT_BUFFER_BYTES = 64 * 1024 * 1024;
/** What is made room for at a time when lines are dropped: this part of the bound. */
const roomShare = 1 / 16;
/** There was nothing to drop: the next try, milliseconds. */
const tryAgainMs = 250;

/** What a log holds that the server has not acknowledged, bytes. */
export interface Held {
  /** In memory only. */
  readonly waiting: number;
  /** In the spool. */
  readonly spooled: number;
  /** In the spool and in memory, too. */
  readonly kept: number;
}

/** How much a worker process may hold. */
export interface LineBudgetOptions {
  /** Bytes in memory only. */
  readonly boundBytes?: number;
  /** Bytes in the spool; 0: there is none. */
  readonly spoolBytes?: number;
  /** When it is full, the oldest lines of the log that holds most are dropped. Default: jobs wait. */
  readonly drops?: boolean;
}

/** Above its bound the spool takes so much of jobs that have ended, bytes: what was in their pipes, and their end. */
const lastBytes = 2 * 1024 * 1024;
/** So much of the bound in memory may be lines that are in the spool, too. */
const keptShare = 1 / 4;

/**
 * How many bytes of lines a worker process holds that the server has not acknowledged, all attempts together: in memory, and in the
 * spool. At either bound jobs wait where they can; at twice that of the memory the job that holds too much fails.
 */
export class LineBudget {
  readonly boundBytes: number;
  readonly #spoolBytes: number;
  readonly #drops: boolean;
  #waiting = 0;
  #spooled = 0;
  #kept = 0;
  #isMakingRoom = false;
  readonly #holders = new Set<Holder>();
  /** The spool cannot be written at present: only the memory counts. */
  isSpoolBroken = false;

  constructor({ boundBytes = DEFAULT_BUFFER_BYTES, spoolBytes = 0, drops = false }: LineBudgetOptions = {}) {
    this.boundBytes = boundBytes;
    this.#spoolBytes = spoolBytes;
    this.#drops = drops;
  }

  /** Bytes that are not acknowledged, in memory and in the spool. */
  get bytes(): number {
    return this.#waiting + this.#spooled;
  }

  /** How many of them are in the spool. */
  get spoolBytes(): number {
    return this.#spooled;
  }

  /** How much the spool may hold, bytes; 0: there is none, or it cannot be written. */
  get spoolLimitBytes(): number {
    return this.isSpoolBroken ? 0 : this.#spoolBytes;
  }

  /** Jobs shall wait. */
  get isFull(): boolean {
    return this.#waiting >= this.boundBytes || this.isSpoolFull;
  }

  /** Nothing more goes into the spool. */
  get isSpoolFull(): boolean {
    return this.#spoolBytes > 0 && this.#spooled >= this.#spoolBytes;
  }

  /** The lines of a job that has ended may go into the spool: nobody can wait for room any more. */
  get maySpoolLast(): boolean {
    return this.#spooled < this.#spoolBytes + lastBytes;
  }

  /** Lines that are in the spool may stay in memory, too. */
  get mayKeep(): boolean {
    return this.#kept < this.boundBytes * keptShare;
  }

  /** Why lines are dropped, for people. */
  get dropDetail(): string {
    return this.#spoolBytes > 0
      ? `it may hold ${megabytes(this.#spoolBytes)}`
      : `the worker may hold ${megabytes(this.boundBytes)} of lines`;
  }

  /**
   * A log that will hold bytes. `onRoom` is called when the budget is full no longer; `drop`, if lines may be dropped, drops about so many
   * of its bytes, and resolves with how many it has.
   */
  open(onRoom: () => void, drop?: (bytes: number) => Promise<number>): BudgetShare {
    const holder: Holder = { waiting: 0, spooled: 0, kept: 0, onRoom, drop };
    this.#holders.add(holder);
    let closed = false;
    const change = ({ waiting, spooled, kept }: Held) => {
      const wasFull = this.isFull;
      this.#waiting += waiting - holder.waiting;
      this.#spooled += spooled - holder.spooled;
      this.#kept += kept - holder.kept;
      holder.kept = kept;
      holder.waiting = waiting;
      holder.spooled = spooled;
      if (wasFull && !this.isFull) for (const each of [...this.#holders]) each.onRoom();
      else if (this.isFull && this.#drops) this.#makeRoom();
    };
    return {
      set: (held) => {
        if (!closed) change(held);
      },
      isFull: () => this.isFull,
      // The one that fails is one that holds more than its share, so that a quiet job never fails for a loud one.
      isOver: () => this.#waiting >= 2 * this.boundBytes && holder.waiting * this.#holders.size >= 2 * this.boundBytes,
      close: () => {
        if (closed) return;
        closed = true;
        this.#holders.delete(holder);
        change({ waiting: 0, spooled: 0, kept: 0 });
      },
    };
  }

  /** Drops lines, of whoever holds most first, until there is room. */
  #makeRoom(): void {
    if (this.#isMakingRoom) return;
    this.#isMakingRoom = true;
    const next = () => {
      this.#isMakingRoom = false;
      if (this.isFull && this.#holders.size > 0) this.#makeRoom();
    };
    this.#dropSome().then(
      (dropped) => (dropped > 0 ? next() : setTimeout(next, tryAgainMs).unref()),
      () => setTimeout(next, tryAgainMs).unref(),
    );
  }

  async #dropSome(): Promise<number> {
    const ofSpool = this.isSpoolFull;
    const bytes = (ofSpool ? this.#spoolBytes : this.boundBytes) * roomShare;
    const held = (holder: Holder) => (ofSpool ? holder.spooled : holder.waiting);
    const holders = [...this.#holders].sort((a, b) => held(b) - held(a));
    for (const holder of holders) {
      const dropped = (await holder.drop?.(bytes)) ?? 0;
      if (dropped > 0) return dropped;
    }
    return 0;
  }
}

interface Holder {
  waiting: number;
  spooled: number;
  kept: number;
  readonly onRoom: () => void;
  readonly drop: ((bytes: number) => Promise<number>) | undefined;
}

/** What one log holds of the budget. */
export interface BudgetShare {
  /** The log now holds so many bytes. */
  set(held: Held): void;
  /** The process is at its bound. */
  isFull(): boolean;
  /** The process is at twice its bound, and this log holds at least its part. */
  isOver(): boolean;
  /** The log holds nothing any more and will not. */
  close(): void;
}

/** A number of bytes for people: `64 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(bytes < 10_485_760 ? 1 : 0)} MB`;
}

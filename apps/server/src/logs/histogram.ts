import { LEVEL_COUNT, type ChunkHeader } from "@signalbox/protocol";

/** At most so many buckets are kept; beyond that each becomes twice as wide. */
export const mostKeptBuckets = 2_000;
const narrowestUs = 1_000_000;

/** A stretch of time and the lines that were printed in it. */
export interface CountedLines {
  /** Lines by level, indexed by Level. */
  readonly levelCounts: readonly number[];
  /** Number of its first line; 0 if it has none. */
  readonly firstLine: number;
}

/** Buckets of one width, in order and without holes. */
export interface Counted {
  /** Begin of the first bucket, order time, microseconds since the Unix epoch; 0 if there is none. */
  readonly fromUs: number;
  /** Width of a bucket, microseconds: a power of two of seconds. */
  readonly bucketUs: number;
  readonly buckets: readonly CountedLines[];
}

/**
 * Counts the lines of one attempt by level over order time, from the headers of its chunks. Buckets lie on one grid for all attempts,
 * whole multiples of their width since the epoch, so that twice the width never splits a bucket.
 */
export class Histogram {
  #nextLine = 1;
  #widthUs = narrowestUs;
  /** Place of the first bucket on the grid. */
  #first = 0;
  /** Lines by bucket and level, LEVEL_COUNT numbers a bucket, and the first line of each bucket. */
  #counts: number[] = [];
  #lines: number[] = [];

  /** The number after the newest line that is counted. */
  get nextLine(): number {
    return this.#nextLine;
  }

  /** Counts a chunk whole, in the bucket of its middle. Chunks come in their order; one that is counted already changes nothing. */
  add(header: ChunkHeader): void {
    const nextLine = Number(header.nextLine);
    if (nextLine <= this.#nextLine) return;
    this.#nextLine = nextLine;
    const middleUs = (Number(header.orderFirstUs) + Number(header.orderLastUs)) / 2;
    if (this.#lines.length === 0) this.#first = this.#place(middleUs);
    while (this.#place(middleUs) - this.#first >= mostKeptBuckets) this.#double();
    // Order time never runs back in an attempt.
    const at = Math.max(0, this.#place(middleUs) - this.#first);
    while (this.#lines.length <= at) {
      this.#lines.push(0);
      for (let level = 0; level < LEVEL_COUNT; level++) this.#counts.push(0);
    }
    if (this.#lines[at] === 0) this.#lines[at] = Number(header.firstLine);
    for (const [level, count] of header.levelCounts.entries()) {
      const index = at * LEVEL_COUNT + level;
      if (level < LEVEL_COUNT) this.#counts[index] = (this.#counts[index] ?? 0) + count;
    }
  }

  /** Goes over lines that cannot be counted: a gap. */
  skip(nextLine: number): void {
    this.#nextLine = Math.max(this.#nextLine, nextLine);
  }

  /** At most `most` buckets, 1 or more: as many as there are of the narrowest width that allows it. */
  read(most: number): Counted {
    const shown = new Histogram();
    shown.#widthUs = this.#widthUs;
    shown.#first = this.#first;
    shown.#counts = this.#counts.slice();
    shown.#lines = this.#lines.slice();
    while (shown.#lines.length > most) shown.#double();
    return {
      fromUs: shown.#lines.length > 0 ? shown.#first * shown.#widthUs : 0,
      bucketUs: shown.#widthUs,
      buckets: shown.#lines.map((firstLine, at) => {
        const levelCounts = shown.#counts.slice(at * LEVEL_COUNT, (at + 1) * LEVEL_COUNT);
        return { firstLine, levelCounts };
      }),
    };
  }

  #place(us: number): number {
    return Math.floor(us / this.#widthUs);
  }

  #double(): void {
    const first = Math.floor(this.#first / 2);
    const lines: number[] = [];
    const counts: number[] = [];
    for (const [at, line] of this.#lines.entries()) {
      const to = Math.floor((this.#first + at) / 2) - first;
      if (to === lines.length) {
        lines.push(0);
        for (let level = 0; level < LEVEL_COUNT; level++) counts.push(0);
      }
      lines[to] ||= line;
      for (let level = 0; level < LEVEL_COUNT; level++) {
        const index = to * LEVEL_COUNT + level;
        counts[index] = (counts[index] ?? 0) + (this.#counts[at * LEVEL_COUNT + level] ?? 0);
      }
    }
    this.#widthUs *= 2;
    this.#first = first;
    this.#lines = lines;
    this.#counts = counts;
  }
}

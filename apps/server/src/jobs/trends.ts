import { create, toBinary } from "@bufbuild/protobuf";
import {
  addRawMessages,
  JobTrendSchema,
  JobTrendsSchema,
  Level,
  type JobTrends,
  type Vitals,
} from "@signalbox/protocol";
import { pause } from "../pause.ts";
import type { Jobs } from "./jobs.ts";

/** Width of a bucket, and how many of them a trend has: five minutes. */
export const bucketMs = 5_000;
export const bucketCount = 60;

const trendsField = 1;
/** With more jobs a message could be larger than messages may be. */
const batchJobs = 1_000;
/** How often who follows looks whether a bucket has closed, milliseconds. */
const lookMs = 500;

/** What one job has printed, by bucket: the bucket with the number n is at n modulo `bucketCount`. */
interface Ring {
  readonly lines: Uint32Array;
  readonly errors: Uint32Array;
  /** The bucket in which it began, and the newest one in which something was printed. */
  first: number;
  last: number;
  encoded: Uint8Array;
}

/** How far the counts of a job were read. */
interface Seen {
  attempt: number;
  lines: number;
  errors: number;
  /** Nothing has come in since the server started: the counts are those of the job's newest entry, and older than its lines. */
  unheard: boolean;
  ring: Ring | undefined;
}

/**
 * What each job that has not ended has printed in the last five minutes, from the counts that its vitals have anyway. Only jobs that print
 * have a ring, and each is encoded once a bucket, however many pages watch.
 */
export class Trends {
  readonly #jobs: Jobs;
  readonly #seen = new Map<string, Seen>();
  #bucket: number;
  /** Rises with each bucket in which somebody printed. */
  #version = 0;
  #newest: readonly JobTrends[] = [];

  /** `now` is server clock, microseconds. What was printed before it is in no bucket. */
  constructor(jobs: Jobs, now: number) {
    this.#jobs = jobs;
    this.#bucket = bucketOf(now);
    for (const { id } of jobs.live()) {
      const counts = countsOf(jobs.vitals.peek(id));
      if (counts) this.#seen.set(id, { ...counts, unheard: true, ring: undefined });
    }
  }

  /** Closes the bucket that is over. Call it about every second; most calls do nothing. */
  look(now: number): void {
    const bucket = bucketOf(now);
    if (bucket <= this.#bucket) return;
    // A server that stood still counts all that came meanwhile in the last bucket that is over.
    this.#bucket = bucket;
    this.#close(bucket - 1);
  }

  /** What the buckets hold, or what changed in the newest one; in messages that may travel. They come at most once a bucket. */
  async *follow(signal: AbortSignal): AsyncGenerator<JobTrends> {
    let version = this.#version;
    yield* this.#all();
    while (!signal.aborted) {
      if (this.#version === version + 1) yield* this.#newest;
      else if (this.#version !== version) yield* this.#all();
      version = this.#version;
      await pause(lookMs, signal);
    }
  }

  #close(bucket: number): void {
    const changed: Uint8Array[] = [];
    const live = new Set<string>();
    for (const { id } of this.#jobs.live()) {
      live.add(id);
      const encoded = this.#count(id, bucket);
      if (encoded) changed.push(encoded);
    }
    for (const id of this.#seen.keys()) if (!live.has(id)) this.#seen.delete(id);
    if (changed.length === 0) return;
    this.#newest = batches(changed);
    this.#version++;
  }

  /** Counts what a job has printed since the last look; its trend if there was anything. */
  #count(id: string, bucket: number): Uint8Array | undefined {
    const counts = countsOf(this.#jobs.vitals.peek(id));
    if (!counts) return undefined;
    const seen = this.#seen.get(id) ?? { attempt: -1, lines: 0, errors: 0, unheard: false, ring: undefined };
    const before = seen.attempt === counts.attempt ? seen : { lines: 0, errors: 0, unheard: false };
    const moreLines = before.unheard ? 0 : Math.max(0, counts.lines - before.lines);
    const moreErrors = before.unheard ? 0 : Math.max(0, counts.errors - before.errors);
    this.#seen.set(id, Object.assign(seen, counts, { unheard: before.unheard && counts.lines === before.lines }));
    if (moreLines === 0 && moreErrors === 0) {
      if (seen.ring && bucket - seen.ring.last >= bucketCount) seen.ring = undefined;
      return undefined;
    }
    const ring = (seen.ring ??= emptyRing(bucket));
    add(ring, bucket, moreLines, moreErrors);
    ring.encoded = encode(id, ring);
    return ring.encoded;
  }

  #all(): JobTrends[] {
    const encoded: Uint8Array[] = [];
    for (const { ring } of this.#seen.values()) if (ring) encoded.push(ring.encoded);
    return batches(encoded);
  }
}

/** What is counted of a job's newest attempt. */
function countsOf(vitals: Readonly<Vitals> | undefined): Pick<Seen, "attempt" | "lines" | "errors"> | undefined {
  if (!vitals) return undefined;
  const { attempt, lines, levelCounts } = vitals;
  const errors = (levelCounts[Level.ERROR] ?? 0n) + (levelCounts[Level.FATAL] ?? 0n);
  return { attempt, lines: Number(lines), errors: Number(errors) };
}

function bucketOf(us: number): number {
  return Math.floor(us / (bucketMs * 1000));
}

function emptyRing(bucket: number): Ring {
  return {
    lines: new Uint32Array(bucketCount),
    errors: new Uint32Array(bucketCount),
    first: bucket,
    last: bucket,
    encoded: new Uint8Array(),
  };
}

function add(ring: Ring, bucket: number, lines: number, errors: number): void {
  // Buckets in which nothing was printed take the places of others that are too old.
  for (let quiet = Math.max(ring.last + 1, bucket - bucketCount + 1); quiet <= bucket; quiet++)
    ring.lines[quiet % bucketCount] = ring.errors[quiet % bucketCount] = 0;
  ring.last = bucket;
  ring.lines[bucket % bucketCount] = lines;
  ring.errors[bucket % bucketCount] = errors;
}

function encode(jobId: string, ring: Ring): Uint8Array {
  const lines: number[] = [];
  const errors: number[] = [];
  for (let bucket = Math.max(ring.first, ring.last - bucketCount + 1); bucket <= ring.last; bucket++) {
    lines.push(ring.lines[bucket % bucketCount] ?? 0);
    errors.push(ring.errors[bucket % bucketCount] ?? 0);
  }
  const endUs = BigInt((ring.last + 1) * bucketMs * 1000);
  return toBinary(JobTrendSchema, create(JobTrendSchema, { jobId, bucketMs, endUs, lines, errors }));
}

function batches(encoded: readonly Uint8Array[]): JobTrends[] {
  const messages: JobTrends[] = [];
  for (let from = 0; from < encoded.length; from += batchJobs) {
    const message = create(JobTrendsSchema);
    addRawMessages(message, trendsField, encoded.slice(from, from + batchJobs));
    messages.push(message);
  }
  return messages;
}

import { JobTrendsSchema, Level, type JobTrend } from "@signalbox/protocol";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { Jobs } from "./jobs.ts";
import { bucketCount, bucketMs, Trends } from "./trends.ts";
import { VitalsBoard } from "./vitals-board.ts";

/** Jobs that have counts and nothing else, on a clock that stands at the start of a bucket. */
class Room {
  readonly vitals = new VitalsBoard();
  readonly ids = new Set<string>();
  readonly start = 1_000 * bucketMs * 1000;
  #now = this.start;
  trends = this.open();

  live() {
    return [...this.ids].map((id) => ({ id }));
  }

  open(): Trends {
    return (this.trends = new Trends(this as unknown as Jobs, this.#now));
  }

  print(id: string, lines: number, errors = 0): void {
    this.ids.add(id);
    this.vitals.change(id, (vitals) => {
      vitals.attempt ||= 1;
      vitals.lines += BigInt(lines);
      vitals.levelCounts = Array.from({ length: 7 }, (_, level) => vitals.levelCounts[level] ?? 0n);
      vitals.levelCounts[Level.ERROR] = (vitals.levelCounts[Level.ERROR] ?? 0n) + BigInt(errors);
    });
  }

  pass(buckets = 1): void {
    for (let i = 0; i < buckets; i++) this.trends.look((this.#now += bucketMs * 1000));
  }

  /** What a page that comes now is told, by job. */
  async told(): Promise<Record<string, JobTrend>> {
    const stop = new AbortController();
    const told: Record<string, JobTrend> = {};
    const abort = setTimeout(() => stop.abort(), 50);
    for await (const message of this.trends.follow(stop.signal))
      for (const trend of fromBinary(JobTrendsSchema, toBinary(JobTrendsSchema, message)).trends)
        told[trend.jobId] = trend;
    clearTimeout(abort);
    return told;
  }
}

test("a trend has what was printed in each bucket, quiet ones included, and says when the newest one ended", async () => {
  const room = new Room();
  room.print("a", 10, 1);
  room.pass();
  room.pass(2);
  room.print("a", 3);
  room.pass();
  const { a } = await room.told();
  expect(a).toMatchObject({ bucketMs, lines: [10, 0, 0, 3], errors: [1, 0, 0, 0] });
  expect(a?.endUs).toBe(BigInt(room.start + 4 * bucketMs * 1000));
});

test("a trend is never longer than five minutes, and one of five quiet minutes is forgotten", async () => {
  const room = new Room();
  for (let i = 1; i <= bucketCount + 20; i++) {
    room.print("a", i);
    room.pass();
  }
  const { a } = await room.told();
  expect(a?.lines).toEqual(Array.from({ length: bucketCount }, (_, i) => i + 21));
  room.pass(bucketCount);
  expect(await room.told()).toEqual({});
});

test("jobs that print nothing, or have ended, have no trend", async () => {
  const room = new Room();
  room.print("quiet", 0);
  room.print("ended", 5);
  room.pass();
  expect(Object.keys(await room.told())).toEqual(["ended"]);
  room.ids.delete("ended");
  room.pass();
  expect(await room.told()).toEqual({});
});

test("a new attempt counts from its first line", async () => {
  const room = new Room();
  room.print("a", 100);
  room.pass();
  room.vitals.begin("a", 2);
  room.print("a", 7);
  room.pass();
  expect((await room.told())["a"]?.lines).toEqual([100, 7]);
});

test("lines from before the server are no burst of now", async () => {
  const room = new Room();
  room.print("a", 1_000);
  room.open();
  // Its worker is back, and ingest says how many lines there are in truth.
  room.pass();
  room.print("a", 500_000);
  room.pass();
  expect(await room.told()).toEqual({});
  room.print("a", 4);
  room.pass();
  expect((await room.told())["a"]?.lines).toEqual([4]);
});

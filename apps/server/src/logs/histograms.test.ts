import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { ChunkBuilder, GapCause, GapSchema, Level } from "@signalbox/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Store } from "../store/store.ts";
import { openSqliteStore } from "../store/sqlite/open-sqlite-store.ts";
import { Histograms } from "./histograms.ts";
import { Logs } from "./logs.ts";

const sender = { incarnation: "a".repeat(16), clockOffsetUs: 0 };
const never = new AbortController().signal;
let folder: string;
let store: Store;
let logs: Logs;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "signalbox-histogram-"));
  store = await openSqliteStore({ folder });
  logs = new Logs(store.journal);
});
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

/** `count` lines of one second, every tenth an error. */
function chunk(first: number, count: number, atSecond: number, text = "a line\n"): Uint8Array {
  const builder = new ChunkBuilder();
  for (let line = first; line < first + count; line++)
    builder.add(Buffer.from(text), {
      timeUs: atSecond * 1_000_000,
      level: line % 10 === 0 ? Level.ERROR : Level.INFO,
    });
  return builder.build(first);
}

test("what is counted while it is written is what another server counts from the store", async () => {
  const log = await logs.open("written", 1);
  await log.append(chunk(1, 25, 100), sender);
  await log.appendGap(create(GapSchema, { firstLine: 26n, lineCount: 5n, cause: GapCause.DROPPED_DEBUG }), sender);
  await Promise.all([log.append(chunk(31, 20, 102), sender), log.append(chunk(51, 10, 103), sender)]);
  const live = await logs.histograms.read("written", 1, 240, never);
  expect(live).toMatchObject({ fromUs: 100_000_000, bucketUs: 1_000_000, endLine: 61 });
  expect(
    live.buckets.map(({ firstLine, levelCounts }) => [firstLine, levelCounts[Level.INFO], levelCounts[Level.ERROR]]),
  ).toEqual([
    [1, 23, 2],
    [0, 0, 0],
    [31, 18, 2],
    [51, 9, 1],
  ]);
  const other = new Histograms(logs);
  expect(await other.read("written", 1, 240, never)).toEqual(live);
  // What comes after it was read is counted on top, whether this server wrote it or not.
  await log.append(chunk(61, 10, 104), sender);
  await logs.seal("written", 1, "ended");
  expect(await other.read("written", 1, 240, never)).toEqual(await logs.histograms.read("written", 1, 240, never));
  expect((await other.read("written", 1, 240, never)).endLine).toBe(71);
});

test("an attempt without lines has no buckets", async () => {
  expect(await logs.histograms.read("silent", 1, 240, never)).toEqual({
    fromUs: 0,
    bucketUs: 1_000_000,
    buckets: [],
    endLine: 1,
  });
});

test("a long log is read in slices, once for all who ask, and the loop goes on meanwhile", async () => {
  const log = await logs.open("long", 1);
  const chunks = 120;
  const text = `${"x".repeat(400)}\n`;
  for (let each = 0; each < chunks; each++) await log.append(chunk(1 + each * 400, 400, 1_000 + each, text), sender);
  const other = new Histograms(logs);
  let reads = 0;
  const counted = new Histograms({
    end: (...args) => logs.end(...args),
    find: (...args) => logs.find(...args),
    read: (...args) => {
      reads++;
      return logs.read(...args);
    },
  });
  let longest = 0;
  let last = performance.now();
  const beat = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 1);
  let answers = await Promise.all([1, 2, 3].map(() => counted.read("long", 1, 240, never)));
  // A busy machine may need more than one answer to come to the end.
  while (answers.some(({ endLine }) => endLine <= chunks * 400))
    answers = await Promise.all([1, 2, 3].map(() => counted.read("long", 1, 240, never)));
  clearInterval(beat);
  for (const answer of answers) expect(answer).toEqual(answers[0]);
  const total = answers[0]?.buckets.reduce((sum, { levelCounts }) => sum + (levelCounts[3] ?? 0), 0);
  expect(total).toBe((chunks * 400 * 9) / 10);
  expect(reads).toBeGreaterThan(10);
  expect(reads).toBeLessThan(60);
  expect(longest).toBeLessThan(1_000);
  // Who does not wait any more is not read for.
  const gone = AbortSignal.abort();
  expect((await other.read("long", 1, 240, gone)).endLine).toBe(1);
});

test("of many attempts the counts of those that were looked at last are kept", async () => {
  const log = await logs.open("kept", 1);
  await log.append(chunk(1, 10, 100), sender);
  for (let each = 0; each < 150; each++) {
    if (each % 50 === 0) expect((await logs.histograms.read("kept", 1, 240, never)).endLine).toBe(11);
    await (await logs.open(`many-${each}`, 1)).append(chunk(1, 1, 100), sender);
  }
  // Those that were put aside are counted again when somebody looks.
  expect((await logs.histograms.read("many-0", 1, 240, never)).endLine).toBe(2);
  expect((await logs.histograms.read("kept", 1, 240, never)).endLine).toBe(11);
});

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import { ChunkBuilder, GapCause, GapSchema, LogEntrySchema } from "@signalbox/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Refused } from "../refused.ts";
import { Fenced, type Store } from "../store/store.ts";
import { openSqliteStore } from "../store/sqlite/open-sqlite-store.ts";
import { Logs } from "./logs.ts";

const sender = { incarnation: "a".repeat(16), clockOffsetUs: 0 };
let folder: string;
let store: Store;
let logs: Logs;
let jobs = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "signalbox-door-"));
  store = await openSqliteStore({ folder });
  logs = new Logs(store.journal);
});
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const newJob = () => `job-${++jobs}`;

/** Lines `first` to `last` as the worker encodes them; line n holds the text n. */
function chunk(first: number, last: number): Uint8Array {
  const builder = new ChunkBuilder();
  for (let line = first; line <= last; line++) builder.add(Buffer.from(`${line}\n`), { timeUs: line });
  return builder.build(first);
}

async function text(job: string): Promise<string> {
  let all = "";
  for await (const bytes of logs.text(job, 1, new AbortController().signal)) all += Buffer.from(bytes).toString();
  return all;
}

const numbers = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => `${first + i}\n`).join("");

describe("the door of a log", () => {
  test("stores each line once, in order, however chunks overlap and repeat", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ back: fc.nat(20), count: fc.integer({ min: 1, max: 30 }), wait: fc.boolean() }), {
          maxLength: 15,
        }),
        async (sends) => {
          const job = newJob();
          const log = await logs.open(job, 1);
          let end = 1;
          const appends: Promise<void>[] = [];
          for (const { back, count, wait } of sends) {
            const first = Math.max(1, end - back);
            const append = log.append(chunk(first, first + count - 1), sender);
            appends.push(append);
            end = Math.max(end, first + count);
            if (wait) {
              await append;
              expect(log.durable.nextLine).toBe(end);
            }
          }
          await Promise.all(appends);
          expect(log.durable.nextLine).toBe(end);
          expect(await text(job)).toBe(numbers(1, end - 1));
          const reopened = await logs.open(job, 1);
          expect(reopened.durable).toEqual(log.durable);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("refuses lines beyond the next one, says which it expects, and is not disturbed", async () => {
    const job = newJob();
    const log = await logs.open(job, 1);
    await log.append(chunk(1, 3), sender);
    const refused = await log.append(chunk(5, 6), sender).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Refused);
    expect(refused).toMatchObject({ kind: "stale", details: [{ value: { nextLine: 4n } }] });
    await log.append(chunk(4, 6), sender);
    expect(await text(job)).toBe(numbers(1, 6));
  });

  test("refuses bytes that are no chunk, and goes on", async () => {
    const job = newJob();
    const log = await logs.open(job, 1);
    await expect(log.append(Uint8Array.of(0xff, 0xff), sender)).rejects.toMatchObject({ kind: "invalid" });
    await expect(log.append(new Uint8Array(), sender)).rejects.toMatchObject({ kind: "invalid" });
    await expect(log.append(new Uint8Array(300_000), sender)).rejects.toThrow(/300000 bytes, at most 262144/);
    await log.append(chunk(1, 1), sender);
    expect(await text(job)).toBe("1\n");
  });

  test("stores a declared gap, cut to what is missing, and the numbers go on after it", async () => {
    const job = newJob();
    const log = await logs.open(job, 1);
    await log.append(chunk(1, 3), sender);
    await log.appendGap(create(GapSchema, { firstLine: 2n, lineCount: 9n, cause: GapCause.DROPPED_DEBUG }), sender);
    await log.appendGap(create(GapSchema, { firstLine: 2n, lineCount: 9n, cause: GapCause.DROPPED_DEBUG }), sender);
    await log.append(chunk(11, 12), sender);
    const entries = await logs.read(job, 1, 0, 1e6);
    const gap = entries
      .map(({ data }) => fromBinary(LogEntrySchema, data).entry)
      .find((entry) => entry.case === "gap")?.value;
    expect(gap).toMatchObject({
      firstLine: 4n,
      lineCount: 7n,
      cause: GapCause.DROPPED_DEBUG,
      incarnation: sender.incarnation,
    });
    expect(entries).toHaveLength(3);
    expect(log.durable.mark.missingLines).toBe(7n);
    expect(await text(job)).toBe(numbers(1, 3) + numbers(11, 12));
    await expect(log.appendGap(create(GapSchema, { firstLine: 99n, lineCount: 1n }), sender)).rejects.toMatchObject({
      kind: "stale",
    });
    await expect(log.appendGap(create(GapSchema, { firstLine: 13n }), sender)).rejects.toMatchObject({
      kind: "invalid",
    });
  });

  test("is shut by the seal for whoever stands in it and for whoever comes, and sealing again changes nothing", async () => {
    const job = newJob();
    const log = await logs.open(job, 1);
    await log.append(chunk(1, 3), sender);
    await logs.seal(job, 1, "ended");
    await logs.seal(job, 1, "again");
    await expect(log.append(chunk(4, 4), sender)).rejects.toBeInstanceOf(Fenced);
    await expect(logs.open(job, 1)).rejects.toBeInstanceOf(Fenced);
    expect(await logs.end(job, 1)).toMatchObject({ nextLine: 4, sealed: true });
    expect(await logs.read(job, 1, 0, 1e6)).toHaveLength(2);
  });

  test("finds the entry that holds a line", async () => {
    const job = newJob();
    const log = await logs.open(job, 1);
    for (let first = 1; first < 1000; first += 10) void log.append(chunk(first, first + 9), sender);
    await log.append(chunk(1001, 1001), sender);
    for (const line of [1, 10, 11, 555, 1000, 1001]) {
      const [entry] = await logs.read(job, 1, await logs.find(job, 1, line), 1);
      expect(
        entry && [fromBinary(LogEntrySchema, entry.data).nextLine > BigInt(line), entry.mark - line <= 10],
      ).toEqual([true, true]);
    }
  });
});

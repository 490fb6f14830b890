import { join } from "node:path";
import { expect, test } from "vitest";
import { tempFolder } from "../testing.ts";
import { packAppends } from "./batch.ts";
import { openForMoving, openForReading, openForWriting } from "./database.ts";
import { FileWriter } from "./file-writer.ts";
import { hasWalResetFix, Mover } from "./mover.ts";

const mib = 1024 * 1024;

/** A writer of a new database, and what stands in its write-ahead log. */
async function openWriter(isMoved: boolean) {
  const temp = await tempFolder();
  const path = join(temp.folder, "logs.db");
  const db = openForWriting(path, 16_384);
  const writer = new FileWriter(db, isMoved);
  let last = 0;
  /** Commits an entry, as the thread does. Returns whether the log is to be moved. */
  const commit = (bytes = mib) => {
    const append = { topic: "a", writer: 1, after: last, mark: 0, sealed: false, bytes };
    const { appends, toMove } = writer.commit({ ...packAppends([append]), changes: [], data: new ArrayBuffer(bytes) });
    last = appends[0] ?? 0;
    writer.checkpoint();
    return toMove;
  };
  const logged = () => Number(db.prepare("PRAGMA wal_checkpoint(NOOP)").get()?.["log"]) * 16_384;
  const close = async () => {
    writer.close();
    await temp[Symbol.asyncDispose]();
  };
  return { path, commit, logged, [Symbol.asyncDispose]: close };
}

test.for([
  ["hardly anything", 50_000, true],
  ["more than the writer moves", mib, false],
] as const)("a write-ahead log of which %s is left to be moved is begun anew or not", async ([, left, isBegunAnew]) => {
  await using writer = await openWriter(true);
  expect([writer.commit(), writer.commit(), writer.commit()]).toEqual([false, false, true]);
  expect(writer.logged()).toBeGreaterThan(3 * mib);
  const [reader, mover] = [openForReading(writer.path), openForMoving(writer.path)];
  // What comes while a reader reads, and while somebody moves, is left.
  reader.exec("BEGIN; SELECT count(*) FROM topic");
  writer.commit(left);
  mover.exec("PRAGMA wal_checkpoint(PASSIVE)");
  reader.close();
  mover.close();
  writer.commit(50_000);
  writer.commit(50_000);
  expect(writer.logged() < mib).toBe(isBegunAnew);
});

test("a write-ahead log that nobody moves, though somebody should, is begun anew before it is large", async () => {
  await using writer = await openWriter(true);
  let largest = 0;
  for (let i = 0; i < 40; i++) {
    writer.commit();
    largest = Math.max(largest, writer.logged());
  }
  expect(largest).toBeGreaterThan(6 * mib);
  expect(largest).toBeLessThan(16 * mib);
});

test("whoever moves a write-ahead log that grows faster gives way to the writer", async () => {
  await using writer = await openWriter(true);
  const reader = openForReading(writer.path);
  reader.exec("BEGIN; SELECT count(*) FROM topic");
  const asked = Array.from({ length: 16 }, () => writer.commit());
  reader.close();
  expect(asked.slice(3, 10)).toEqual(new Array(7).fill(true));
  expect(asked.slice(14)).toEqual([false, false]);
  writer.commit(2 * mib);
  writer.commit();
  expect(writer.logged()).toBeLessThan(2 * mib);
});

test("after a long read the write-ahead log is held small again", async () => {
  await using writer = await openWriter(true);
  const [reader, mover] = [openForReading(writer.path), openForMoving(writer.path)];
  reader.exec("BEGIN; SELECT count(*) FROM topic");
  for (let i = 0; i < 24; i++) writer.commit();
  expect(writer.logged()).toBeGreaterThan(20 * mib);
  reader.close();
  mover.exec("PRAGMA wal_checkpoint(PASSIVE)");
  mover.close();
  let largest = 0;
  for (let i = 0; i < 30; i++) {
    writer.commit();
    if (i > 0) largest = Math.max(largest, writer.logged());
  }
  expect(largest).toBeLessThan(16 * mib);
});

test.for([
  ["the database", "../mover-thread.ts", "unable to open"],
  ["the module", "../none-thread.ts", "Cannot find module"],
] as const)(
  "where the thread that moves cannot have %s the writer goes on alone, and that is said once",
  async ([, module, why]) => {
    await using temp = await tempFolder();
    const told: string[] = [];
    const events = {
      died: (error: Error) => told.push(`died: ${error.message}`),
      remark: (text: string) => told.push(text),
    };
    const mover = new Mover(
      join(temp.folder, "none", "logs.db"),
      new URL(module, new URL("x/", import.meta.url)),
      events,
    );
    mover.move();
    await expect.poll(() => told).toEqual([expect.stringContaining(why)]);
    mover.move();
    await mover.close(new Error("closed"));
    expect(told).toHaveLength(1);
  },
);

test("a write-ahead log that only the writer may move stays near its bound", async () => {
  await using writer = await openWriter(false);
  for (let i = 0; i < 10; i++) {
    expect(writer.commit()).toBe(false);
    expect(writer.logged()).toBeLessThan(5 * mib);
  }
});

test.for([
  [undefined, false],
  ["3.44.5", false],
  ["3.44.6", true],
  ["3.46.1", false],
  ["3.50.6", false],
  ["3.50.7", true],
  ["3.51.2", false],
  ["3.51.3", true],
  ["3.53.0", true],
  ["4.0.0", true],
] as const)("SQLite %s may have its log moved by two: %s", ([version, isSafe]) => {
  expect(hasWalResetFix(version)).toBe(isSafe);
});

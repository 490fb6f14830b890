import { DatabaseSync } from "node:sqlite";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempFolder } from "../testing.ts";
import { isBusy, isFatal } from "./result-code.ts";
import { errcodeOf } from "./thread-calls.ts";

function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

test("a lock of another connection is busy, not fatal", async () => {
  await using temp = await tempFolder();
  using first = new DatabaseSync(join(temp.folder, "a.db"));
  using second = new DatabaseSync(join(temp.folder, "a.db"), { timeout: 0 });
  first.exec("BEGIN EXCLUSIVE");
  const error = thrownBy(() => second.exec("BEGIN EXCLUSIVE"));
  expect(isBusy(errcodeOf(error))).toBe(true);
  expect(isFatal(error)).toBe(false);
});

test("a damaged file is fatal, a full one is not", async () => {
  await using temp = await tempFolder();
  const path = join(temp.folder, "a.db");
  await writeFile(path, "not a database, but longer than the header of one ".repeat(100));
  using damaged = new DatabaseSync(path);
  expect(isFatal(thrownBy(() => damaged.exec("CREATE TABLE t (a)")))).toBe(true);
  using full = new DatabaseSync(":memory:");
  full.exec("CREATE TABLE t (a); PRAGMA max_page_count = 10");
  const error = thrownBy(() => full.exec("INSERT INTO t VALUES (zeroblob(1000000))"));
  expect(errcodeOf(error)).toBe(13);
  expect(isFatal(error)).toBe(false);
});

test("a failed sync is fatal, an error of other kind is not", () => {
  expect(isFatal({ errcode: 1034 })).toBe(true);
  expect(isFatal({ errcode: 1290 })).toBe(true);
  expect(isFatal({ errcode: 778 })).toBe(false);
  expect(isFatal(new Error("of our own"))).toBe(false);
});

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { describeStore } from "../conformance.ts";
import { bytes, errorOf } from "../conformance/store-under-test.ts";
import { integrityOf, openTempStore, tempFolder } from "../testing.ts";
import { open } from "./engine-under-test.ts";
import { openSqliteStore } from "./open-sqlite-store.ts";

describeStore("the SQLite store", {
  open,
  module: new URL("./engine-under-test.ts", import.meta.url).href,
  damage: (folder) => integrityOf(folder).filter((found) => found !== "ok"),
  async insertHead(folder, topic, { last, mark, sealed }) {
    const db = new DatabaseSync(join(folder, "logs.db"));
    const insert = db.prepare("INSERT INTO topic (name, last, mark, sealed) VALUES (?, ?, ?, ?)");
    insert.run(topic, last, mark, sealed ? 1 : 0);
    db.close();
  },
});

describe("the SQLite store", () => {
  test("its folder and files are made for their owner alone", async () => {
    await using temp = await tempFolder();
    const folder = join(temp.folder, "data", "store");
    const store = await openSqliteStore({ folder });
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    for (const file of ["state.db", "state.db-wal", "logs.db", "logs.db-wal", "logs.db-shm"]) {
      expect((await stat(join(folder, file))).mode & 0o777).toBe(0o600);
    }
    await store.close();
  });

  test("what is appended in the same breath to a thousand topics is one commit", async () => {
    await using temp = await openTempStore();
    const { store } = temp;
    const names = Array.from({ length: 1_000 }, (_, i) => `job/${i}`);
    const writers = await Promise.all(names.map((name) => store.journal.open(name)));
    await Promise.all(writers.map((writer) => writer.append(bytes("entry"), 1)));
    expect(store.stats()).toMatchObject({ commits: 1, appends: 1_000 });
  });

  test("a topic with thousands of entries, or with megabytes, lets others into the next commit, and its own order stands", async () => {
    await using temp = await openTempStore();
    const { store } = temp;
    const [many, large, other] = await Promise.all(["many", "large", "other"].map((name) => store.journal.open(name)));
    if (!many || !large || !other) throw new Error("no writers");
    const settled: string[] = [];
    const appends = Array.from({ length: 2_000 }, (_, i) =>
      many.append(bytes(`${i}`), 1).then(() => settled.push("many")),
    );
    for (let i = 0; i < 16; i++)
      appends.push(large.append(Buffer.alloc(256 * 1024), 1).then(() => settled.push("large")));
    appends.push(other.append(bytes("entry"), 1).then(() => settled.push("other")));
    await Promise.all(appends);
    expect(settled.indexOf("other")).toBeLessThan(200);
    expect(settled.slice(0, settled.indexOf("other")).filter((each) => each === "large").length).toBeLessThan(4);
    const run = await store.journal.read("many", 0, { maxEntries: 2_000, maxBytes: 1_000_000 });
    expect(run.map(({ data }) => Buffer.from(data).toString())).toEqual(
      Array.from({ length: 2_000 }, (_, i) => `${i}`),
    );
  });

  test("logs lie in a file of their own", async () => {
    await using temp = await tempFolder();
    const store = await openSqliteStore({ folder: temp.folder });
    await (await store.journal.open("log/a/1")).append(bytes("line"), 1);
    await (await store.journal.open("job/a")).append(bytes("entry"), 1);
    await store.close();
    const topicsOf = (file: string) => {
      const db = new DatabaseSync(join(temp.folder, file), { readOnly: true });
      const names = db.prepare("SELECT name FROM topic").all();
      db.close();
      return names.map(({ name }) => name);
    };
    expect(topicsOf("logs.db")).toEqual(["log/a/1"]);
    expect(topicsOf("state.db")).toEqual(["job/a"]);
  });

  test("the write-ahead log stays small under readers that never pause, and they miss nothing", async () => {
    await using temp = await openTempStore();
    const { journal } = temp.store;
    const writer = await journal.open("log/a/1");
    const data = new Uint8Array(200_000);
    const count = 500;
    const stop = new AbortController();
    /** Reads all from the beginning, from the disk, again and again. */
    const readers = Array.from({ length: 4 }, async () => {
      let passes = 0;
      while (!stop.signal.aborted) {
        let from = 0;
        for (;;) {
          const run = await journal.read("log/a/1", from);
          from = run.at(-1)?.position ?? from;
          if (run.length === 0 || stop.signal.aborted) break;
        }
        passes++;
        // What is still in memory is read without a break.
        await setImmediate();
      }
      return passes;
    });
    const tails = Array.from({ length: 4 }, async () => {
      let seen = 0;
      for await (const run of journal.tail("log/a/1", 0, stop.signal)) seen += run.length;
      return seen;
    });
    let largest = 0;
    for (let i = 0; i < count; i += 10) {
      await Promise.all(Array.from({ length: 10 }, (_, k) => writer.append(data, i + k)));
      largest = Math.max(largest, (await stat(join(temp.folder, "logs.db-wal"))).size);
    }
    await journal.seal("log/a/1", () => ({ data: bytes("end"), mark: count }));
    expect(await Promise.all(tails)).toEqual([1, 2, 3, 4].map(() => count + 1));
    stop.abort();
    expect(Math.min(...(await Promise.all(readers)))).toBeGreaterThan(0);
    // 100 MB went through it.
    expect(largest).toBeLessThan(24e6);
  });

  test("a file of a newer form is refused and left alone", async () => {
    await using temp = await tempFolder();
    await (await open(temp.folder)).close();
    const db = new DatabaseSync(join(temp.folder, "logs.db"));
    db.exec("PRAGMA user_version = 2");
    expect((await errorOf(open(temp.folder))).message).toContain("newer");
    db.exec("PRAGMA user_version = 1");
    db.close();
    await (await open(temp.folder)).close();
  });

  test("logs of another store are refused", async () => {
    await using temp = await tempFolder();
    await (await open(temp.folder)).close();
    const db = new DatabaseSync(join(temp.folder, "logs.db"));
    db.exec("UPDATE meta SET value = 'another' WHERE key = 'store_id'");
    db.close();
    expect((await errorOf(open(temp.folder))).message).toContain("does not belong");
  });
});

import { describe, expect, test } from "vitest";
import { StoreClosed } from "../store.ts";
import { appendTexts, bytes, errorOf, freshStore, readAll, textOf } from "./store-under-test.ts";
import type { StoreUnderTest } from "./store-under-test.ts";

/** What opening and closing promise, and the figures. */
export function describeLifecycle(engine: StoreUnderTest): void {
  describe("opening and closing", () => {
    test("a store keeps its identity, and no other store has it", async () => {
      await using fresh = await freshStore(engine);
      await using other = await freshStore(engine);
      const { id } = fresh.store;
      expect(id.length).toBeGreaterThan(10);
      expect((await fresh.reopen()).id).toBe(id);
      expect(other.store.id).not.toBe(id);
    });

    test("close commits what was appended before", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      const writers = await Promise.all(["log/a/1", "job/a"].map((topic) => journal.open(topic)));
      const texts = Array.from({ length: 3_000 }, (_, i) => `${i}`.repeat(500));
      const appended = texts.flatMap((text, i) => writers.map((writer) => writer.append(bytes(text), i)));
      const put = fresh.store.table("jobs").put("a", bytes("1"));
      const sealed = journal.seal("log/a/1", () => ({ data: bytes("end"), mark: 0 }));
      await fresh.store.close();
      await Promise.all([...appended, put, sealed]);
      const store = await fresh.reopen();
      expect((await readAll(store, "log/a/1")).map(textOf)).toEqual([...texts, "end"]);
      expect((await readAll(store, "job/a")).map(textOf)).toEqual(texts);
      expect((await store.table("jobs").list()).records).toHaveLength(1);
    });

    test("a closed store refuses everything, and may be closed again", async () => {
      await using fresh = await freshStore(engine);
      const { store } = fresh;
      const writer = await store.journal.open("job/a");
      await writer.append(bytes("1"), 1);
      await store.close();
      await store.close();
      const { journal } = store;
      const table = store.table("jobs");
      const signal = new AbortController().signal;
      const refused = [
        writer.append(bytes("2"), 2),
        journal.open("job/a"),
        journal.seal("job/a", () => ({ data: bytes("end"), mark: 1 })),
        journal.read("job/a", 0),
        journal.find("job/a", 0),
        journal.tail("job/a", 0, signal).next(),
        journal.more("job/a", 0, signal),
        journal.last("job/a"),
        journal.topics(""),
        journal.trim("job/a", 1),
        table.get("a"),
        table.put("a", bytes("1")),
        table.delete("a"),
        table.list(),
        table.watch(0, signal).next(),
        table.compact(1),
      ];
      for (const promise of refused) expect(await errorOf(promise)).toBeInstanceOf(StoreClosed);
      expect(store.failed.aborted).toBe(false);
    });

    test("the figures count what is durable and, exactly, what is not yet", async () => {
      await using fresh = await freshStore(engine);
      const { store } = fresh;
      await appendTexts(store, "log/b/1", ["taken"]);
      const stale = await store.journal.open("log/b/1");
      await appendTexts(store, "log/b/1", ["too"]);
      const before = store.stats();
      const writer = await store.journal.open("log/a/1");
      const appended = Array.from({ length: 50 }, (_, i) => writer.append(new Uint8Array(i * 1_000), i));
      const conflict = errorOf(stale.append(new Uint8Array(300), 9));
      const total = (49 * 50 * 1_000) / 2;
      expect(store.stats().pendingBytes).toBe(total + 300);
      await appended[0];
      expect(store.stats().appends).toBeGreaterThan(before.appends);
      await Promise.all([...appended, conflict]);
      const after = store.stats();
      expect(after.pendingBytes).toBe(0);
      expect(after.appends - before.appends).toBe(50);
      expect(after.appendedBytes - before.appendedBytes).toBe(total);
      expect(after.commits).toBeGreaterThan(before.commits);
      expect(after.lastCommitMs).toBeGreaterThan(0);
    });
  });
}

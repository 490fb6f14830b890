import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Store } from "../store.ts";
import { appendTexts, bytes, freshStore, liveAndReopened, readAll, textOf } from "./store-under-test.ts";
import type { StoreUnderTest } from "./store-under-test.ts";

/** What `read`, `last`, `find`, `topics` and `trim` promise. */
export function describeReads(engine: StoreUnderTest): void {
  describe("reading", () => {
    test("a read begins after a position and keeps to its limits", async () => {
      await using fresh = await freshStore(engine);
      const positions = await appendTexts(
        fresh.store,
        "log/a/1",
        Array.from({ length: 10 }, (_, i) => `${i}`.repeat(10)),
      );
      await appendTexts(fresh.store, "log/b/1", ["other"]);
      await liveAndReopened(fresh, async ({ journal }) => {
        const read = async (from: number, limit?: object) =>
          (await journal.read("log/a/1", from, limit)).map((entry) => textOf(entry)[0]).join("");
        expect(await read(0)).toBe("0123456789");
        expect(await read(positions[6]!)).toBe("789");
        expect(await read(positions[9]!)).toBe("");
        expect(await read(positions[9]! + 100)).toBe("");
        expect(await read(0, { maxEntries: 3 })).toBe("012");
        expect(await read(positions[2]!, { maxEntries: 1 })).toBe("3");
        expect(await read(0, { maxEntries: Infinity, maxBytes: Infinity })).toBe("0123456789");
        expect(await read(0, { maxBytes: 30 })).toBe("012");
        expect(await read(0, { maxBytes: 39 })).toBe("012");
        expect(await read(positions[0]!, { maxBytes: 40 })).toBe("1234");
        // An entry that is larger than the limit comes alone.
        expect(await read(0, { maxBytes: 1 })).toBe("0");
        expect(await read(0, { maxBytes: 0 })).toBe("0");
      });
    });

    test("without limits a read gives at most a thousand entries and 1 MiB", async () => {
      await using fresh = await freshStore(engine);
      await appendTexts(fresh.store, "log/many/1", Array<string>(1_500).fill("x"));
      await appendTexts(fresh.store, "log/large/1", Array<string>(20).fill("x".repeat(100_000)));
      await liveAndReopened(fresh, async ({ journal }) => {
        expect(await journal.read("log/many/1", 0)).toHaveLength(1_000);
        expect(await journal.read("log/large/1", 0)).toHaveLength(10);
      });
    });

    test("find gives the place where the first greater mark begins", async () => {
      await using fresh = await freshStore(engine);
      const steps = fc.sample(fc.nat({ max: 4 }), { numRuns: 300, seed: 20 });
      const writers = await Promise.all(["log/a/1", "log/b/1"].map((topic) => fresh.store.journal.open(topic)));
      let mark = 3;
      const appended: Promise<number>[] = [];
      for (const step of steps) {
        mark += step;
        // Positions of the topic skip where the other one's entries are.
        for (const writer of step === 1 ? writers.toReversed() : writers) appended.push(writer.append(bytes(""), mark));
      }
      await Promise.all(appended);
      await liveAndReopened(fresh, async (store) => {
        const entries = await readAll(store, "log/a/1");
        for (let wanted = 0; wanted <= mark + 1; wanted++) {
          const from = await store.journal.find("log/a/1", wanted);
          const [first] = await store.journal.read("log/a/1", from, { maxEntries: 1 });
          expect(first).toEqual(entries.find((entry) => entry.mark > wanted));
        }
      });
    });

    test("topics are listed by name, with where they end", async () => {
      await using fresh = await freshStore(engine);
      const ends = new Map<string, number>();
      for (const topic of ["job/b", "log/x/1", "job/a", "jobs", "job/a-b", "log/x/1/late", "audit", "input/j/1"]) {
        ends.set(topic, (await appendTexts(fresh.store, topic, ["1", "2"])).at(-1)!);
      }
      await fresh.store.journal.seal("job/b", () => ({ data: bytes("end"), mark: 9 }));
      await liveAndReopened(fresh, async ({ journal }) => {
        const names = async (prefix: string) => (await journal.topics(prefix)).map(({ topic }) => topic);
        expect(await names("job/")).toEqual(["job/a", "job/a-b", "job/b"]);
        expect(await names("job/a")).toEqual(["job/a", "job/a-b"]);
        expect(await names("log/x/1/")).toEqual(["log/x/1/late"]);
        expect(await names("lo")).toEqual(["log/x/1", "log/x/1/late"]);
        expect(await names("none/")).toEqual([]);
        expect(await names("")).toEqual([...ends.keys()].sort());
        expect(await journal.topics("job/a")).toEqual(
          ["job/a", "job/a-b"].map((topic) => ({ topic, last: ends.get(topic), mark: 2, sealed: false })),
        );
        expect(await journal.topics("job/b")).toMatchObject([{ mark: 9, sealed: true }]);
      });
    });

    test("trim removes what is before a position, but never the last entry", async () => {
      await using fresh = await freshStore(engine);
      const positions = await appendTexts(fresh.store, "log/a/1", ["1", "2", "3", "4", "5"]);
      await appendTexts(fresh.store, "log/b/1", ["other"]);
      const texts = async (store: Store) => (await readAll(store, "log/a/1")).map(textOf).join("");
      await fresh.store.journal.trim("log/a/1", positions[0]!);
      expect(await texts(fresh.store)).toBe("12345");
      await fresh.store.journal.trim("log/a/1", positions[2]!);
      await liveAndReopened(fresh, async (store) => {
        expect(await texts(store)).toBe("345");
        expect(await store.journal.find("log/a/1", 0)).toBeLessThan(positions[2]!);
        expect(await store.journal.find("log/a/1", 3)).toBeGreaterThanOrEqual(positions[2]!);
      });
      await fresh.store.journal.trim("log/a/1", Number.MAX_SAFE_INTEGER);
      await liveAndReopened(fresh, async (store) => {
        expect(await texts(store)).toBe("5");
        expect(await store.journal.last("log/a/1")).toMatchObject({ position: positions[4], mark: 5 });
        expect((await readAll(store, "log/b/1")).map(textOf)).toEqual(["other"]);
      });
      await appendTexts(fresh.store, "log/a/1", ["6"]);
      expect(await texts(fresh.store)).toBe("56");
      await fresh.store.journal.trim("log/none/1", 5);
    });

    test("a long topic is trimmed whole", async () => {
      await using fresh = await freshStore(engine);
      await appendTexts(fresh.store, "log/a/1", Array<string>(5_000).fill("x"));
      await fresh.store.journal.trim("log/a/1", Number.MAX_SAFE_INTEGER);
      expect(await readAll(fresh.store, "log/a/1")).toHaveLength(1);
    });

    test.skipIf(!engine.insertHead)(
      "a topic whose last entry went away with its file goes on where it ended (needs insertHead)",
      async () => {
        await using fresh = await freshStore(engine);
        const store = await fresh.reopen(async () => {
          await engine.insertHead!(fresh.folder, "log/old/1", { last: 700, mark: 41, sealed: false });
          await engine.insertHead!(fresh.folder, "log/done/1", { last: 900, mark: 51, sealed: true });
        });
        const { journal } = store;
        expect(await journal.read("log/old/1", 0)).toEqual([]);
        expect(await journal.last("log/old/1")).toMatchObject({ position: 700, mark: 41, sealed: false });
        expect(await journal.find("log/old/1", 41)).toBe(700);
        expect(await journal.topics("log/")).toEqual([
          { topic: "log/done/1", last: 900, mark: 51, sealed: true },
          { topic: "log/old/1", last: 700, mark: 41, sealed: false },
        ]);
        await expect(journal.open("log/done/1")).rejects.toThrow("sealed");
        expect(await journal.seal("log/done/1", () => ({ data: bytes("end"), mark: 60 }))).toBe(900);
        const ended = journal.tail("log/done/1", 0, new AbortController().signal);
        expect((await ended.next()).done).toBe(true);

        const writer = await journal.open("log/old/1", 700);
        expect(writer.opened).toMatchObject({ position: 700, mark: 41 });
        const position = await writer.append(bytes("line"), 42);
        expect(position).toBeGreaterThan(700);
        await liveAndReopened(fresh, async (again) => {
          expect((await readAll(again, "log/old/1")).map(textOf)).toEqual(["line"]);
          expect(await again.journal.find("log/old/1", 0)).toBeLessThan(position);
          expect(await again.journal.find("log/old/1", 41)).toBeLessThan(position);
        });
        await fresh.store.journal.trim("log/old/1", 701);
        expect((await readAll(fresh.store, "log/old/1")).map(textOf)).toEqual(["line"]);
      },
    );
  });
}

import { describe, expect, test } from "vitest";
import { Conflict, Fenced } from "../store.ts";
import type { JournalEntry } from "../store.ts";
import { appendTexts, bytes, errorOf, freshStore, liveAndReopened, readAll, textOf } from "./store-under-test.ts";
import type { StoreUnderTest } from "./store-under-test.ts";

/** What `open`, `append` and `seal` promise. */
export function describeAppends(engine: StoreUnderTest): void {
  describe("appending", () => {
    test("an unknown topic is empty", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      const writer = await journal.open("log/none/1", 0);
      expect(writer.opened).toBeUndefined();
      expect(await journal.last("log/none/1")).toBeUndefined();
      expect(await journal.read("log/none/1", 0)).toEqual([]);
      expect(await journal.find("log/none/1", 5)).toBe(0);
      expect(await journal.topics("")).toEqual([]);
    });

    test("appends under way together are stored in the order of the calls, byte for byte", async () => {
      await using fresh = await freshStore(engine);
      const writer = await fresh.store.journal.open("job/a");
      const settled: number[] = [];
      const larger = new Uint8Array(1_000).map((_, i) => i);
      const pieces = Array.from({ length: 100 }, (_, i) => larger.subarray(i, i * 7));
      const positions = await Promise.all(
        pieces.map(async (piece, i) => {
          const position = await writer.append(piece, i);
          settled.push(i);
          return position;
        }),
      );
      expect(settled).toEqual(pieces.map((_, i) => i));
      expect(positions.every((position, i) => position > (positions[i - 1] ?? 0))).toBe(true);
      const check = (entries: readonly JournalEntry[]) =>
        expect(entries).toEqual(
          pieces.map((piece, i) => ({
            position: positions[i],
            mark: i,
            sealed: false,
            data: new Uint8Array(piece),
          })),
        );
      check(await readAll(fresh.store, "job/a"));
      check(await readAll(await fresh.reopen(), "job/a"));
    });

    test("a writer goes on from the topic's last entry", async () => {
      await using fresh = await freshStore(engine);
      const [, second] = await appendTexts(fresh.store, "job/a", ["one", "two"]);
      await liveAndReopened(fresh, async (store) => {
        const writer = await store.journal.open("job/a", second);
        expect(writer.topic).toBe("job/a");
        expect(writer.opened).toMatchObject({ position: second, mark: 2, sealed: false });
        expect(textOf(writer.opened!)).toBe("two");
      });
    });

    test("open refuses a topic that does not end where it should", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      const [first, second] = await appendTexts(fresh.store, "job/a", ["one", "two"]);
      expect(await errorOf(journal.open("job/a", 0))).toBeInstanceOf(Conflict);
      expect(await errorOf(journal.open("job/a", first))).toBeInstanceOf(Conflict);
      expect(await errorOf(journal.open("job/b", second))).toBeInstanceOf(Conflict);
    });

    test("of two writers the one that appends first wins, and the other is dead", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      await appendTexts(fresh.store, "job/a", ["begin"]);
      const [winner, loser] = [await journal.open("job/a"), await journal.open("job/a")];
      const won = [winner.append(bytes("w1"), 2), winner.append(bytes("w2"), 3)];
      const lost = [loser.append(bytes("l1"), 2), loser.append(bytes("l2"), 3)];
      await Promise.all(won);
      for (const failed of lost) expect(await errorOf(failed)).toBeInstanceOf(Conflict);
      expect(await errorOf(loser.append(bytes("l3"), 4))).toBeInstanceOf(Conflict);
      await winner.append(bytes("w3"), 4);
      expect((await readAll(fresh.store, "job/a")).map(textOf)).toEqual(["begin", "w1", "w2", "w3"]);
    });

    test("an append that was under way before another writer's stays, and the next one fails", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      const [first, second] = [await journal.open("log/a/1"), await journal.open("log/a/1")];
      await first.append(bytes("f1"), 1);
      expect(await errorOf(second.append(bytes("s1"), 1))).toBeInstanceOf(Conflict);
      const third = await journal.open("log/a/1");
      await third.append(bytes("t1"), 2);
      expect(await errorOf(first.append(bytes("f2"), 2))).toBeInstanceOf(Conflict);
      expect((await readAll(fresh.store, "log/a/1")).map(textOf)).toEqual(["f1", "t1"]);
    });

    test("a conflict leaves the other topics of its commit alone", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      const stale = await journal.open("job/contested");
      await appendTexts(fresh.store, "job/contested", ["first"]);
      const names = Array.from({ length: 20 }, (_, i) => `job/${i}`);
      const writers = await Promise.all(names.map((name) => journal.open(name)));
      const before = writers.slice(0, 10).map((writer) => writer.append(bytes("before"), 1));
      const conflict = stale.append(bytes("late"), 1);
      const after = writers.map((writer) => writer.append(bytes("after"), 2));
      expect(await errorOf(conflict)).toBeInstanceOf(Conflict);
      await Promise.all([...before, ...after]);
      expect((await readAll(fresh.store, "job/contested")).map(textOf)).toEqual(["first"]);
      expect((await readAll(fresh.store, "job/0")).map(textOf)).toEqual(["before", "after"]);
      expect((await readAll(fresh.store, "job/19")).map(textOf)).toEqual(["after"]);
    });

    test("a thousand topics are appended to at once", async () => {
      await using fresh = await freshStore(engine);
      const names = Array.from({ length: 1_000 }, (_, i) => `log/${i}/1`);
      const writers = await Promise.all(names.map((name) => fresh.store.journal.open(name)));
      await Promise.all(writers.flatMap((writer) => [1, 2, 3].map((mark) => writer.append(bytes(`${mark}`), mark))));
      const store = await fresh.reopen();
      expect((await store.journal.topics("log/")).every(({ mark }) => mark === 3)).toBe(true);
      for (const name of names) expect((await readAll(store, name)).map(textOf)).toEqual(["1", "2", "3"]);
    });

    test("a mark that falls, a name or an entry out of bounds is refused and stores nothing", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      const writer = await journal.open("job/a");
      await writer.append(bytes("one"), 7);
      expect(await errorOf(writer.append(bytes("two"), 6))).toBeInstanceOf(RangeError);
      expect(await errorOf(writer.append(bytes("three"), 8))).toBeInstanceOf(RangeError);
      const large = await journal.open("job/a");
      expect(await errorOf(large.append(new Uint8Array(4 * 1024 * 1024 + 1), 8))).toBeInstanceOf(RangeError);
      const sealed = journal.seal("job/a", () => ({ data: bytes("end"), mark: Number.NaN }));
      expect(await errorOf(sealed)).toBeInstanceOf(RangeError);
      for (const name of ["", "job/ü", "job a", "job\n", "x".repeat(301), "job/'--"]) {
        expect(await errorOf(journal.open(name))).toBeInstanceOf(RangeError);
      }
      expect((await readAll(fresh.store, "job/a")).map(textOf)).toEqual(["one"]);
    });

    test("an entry of 4 MiB is stored whole", async () => {
      await using fresh = await freshStore(engine);
      const data = new Uint8Array(4 * 1024 * 1024).map((_, i) => i ^ (i >> 8));
      await (await fresh.store.journal.open("log/large/1")).append(data, 1);
      const store = await fresh.reopen();
      expect(Buffer.compare((await store.journal.last("log/large/1"))!.data, data)).toBe(0);
    });
  });

  describe("sealing", () => {
    test("a sealed topic takes nothing more", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      const writer = await journal.open("log/a/1");
      await writer.append(bytes("line"), 5);
      const seen: (JournalEntry | undefined)[] = [];
      const position = await journal.seal("log/a/1", (last) => {
        seen.push(last);
        return { data: bytes("end"), mark: 2 };
      });
      expect(seen.map((last) => last && textOf(last))).toEqual(["line"]);
      expect(await errorOf(writer.append(bytes("late"), 6))).toBeInstanceOf(Fenced);
      await liveAndReopened(fresh, async (store) => {
        expect(await errorOf(store.journal.open("log/a/1"))).toBeInstanceOf(Fenced);
        expect(await errorOf(store.journal.open("log/a/1", position))).toBeInstanceOf(Fenced);
        const entries = await readAll(store, "log/a/1");
        expect(entries.map(textOf)).toEqual(["line", "end"]);
        // The seal's mark was less than the topic's.
        expect(entries.at(-1)).toMatchObject({ position, mark: 5, sealed: true });
        expect(await store.journal.topics("log/a")).toEqual([
          { topic: "log/a/1", last: position, mark: 5, sealed: true },
        ]);
      });
    });

    test("sealing again changes nothing", async () => {
      await using fresh = await freshStore(engine);
      const seal = () => fresh.store.journal.seal("log/a/1", () => ({ data: bytes("end"), mark: 1 }));
      const positions = [...(await Promise.all([seal(), seal(), seal()])), await seal()];
      expect(new Set(positions).size).toBe(1);
      expect(await readAll(fresh.store, "log/a/1")).toHaveLength(1);
    });

    test("a seal lands although a writer never stops, and every entry that was acknowledged is before it", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      const writer = await journal.open("log/busy/1");
      const acknowledged: number[] = [];
      let number = 0;
      const started = Promise.withResolvers<void>();
      async function appendForEver(): Promise<Error> {
        for (;;) {
          const mine = ++number;
          try {
            acknowledged.push(await writer.append(bytes(`${mine}`), mine));
          } catch (error) {
            return error as Error;
          }
          if (acknowledged.length === 200) started.resolve();
        }
      }
      const lanes = Array.from({ length: 16 }, appendForEver);
      await started.promise;
      const position = await journal.seal("log/busy/1", (last) => ({ data: bytes("end"), mark: last!.mark }));
      for (const error of await Promise.all(lanes)) expect(error).toBeInstanceOf(Fenced);
      const entries = await readAll(fresh.store, "log/busy/1");
      expect(entries.at(-1)).toMatchObject({ position, sealed: true });
      expect(entries.slice(0, -1).map((entry) => entry.position)).toEqual(acknowledged);
      expect(entries.slice(0, -1).map(textOf)).toEqual(acknowledged.map((_, i) => `${i + 1}`));
    });

    test("an error of the caller's is the outcome of the seal, and the topic goes on", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      const writer = await journal.open("log/a/1");
      const failed = journal.seal("log/a/1", () => {
        throw new Error("no end yet");
      });
      const appended = writer.append(bytes("line"), 1);
      expect((await errorOf(failed)).message).toBe("no end yet");
      await appended;
      expect((await readAll(fresh.store, "log/a/1")).map(textOf)).toEqual(["line"]);
    });
  });
}

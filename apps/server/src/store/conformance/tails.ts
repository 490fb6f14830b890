import { getEventListeners } from "node:events";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StoreClosed } from "../store.ts";
import type { JournalEntry, Position, Store } from "../store.ts";
import { appendTexts, bytes, errorOf, freshStore, liveAndReopened, readAll, textOf } from "./store-under-test.ts";
import type { StoreUnderTest } from "./store-under-test.ts";

/** What `tail` and `more` promise. */
export function describeTails(engine: StoreUnderTest): void {
  describe("tailing", () => {
    const never = new AbortController().signal;
    const seal = (store: Store, topic: string) =>
      store.journal.seal(topic, (last) => ({ data: bytes("end"), mark: last?.mark ?? 0 }));

    async function collect(runs: AsyncIterable<readonly JournalEntry[]>): Promise<JournalEntry[]> {
      const entries: JournalEntry[] = [];
      for await (const run of runs) {
        expect(run.length).toBeGreaterThan(0);
        entries.push(...run);
      }
      return entries;
    }

    test("history and live entries come in one row, from any position and at any moment", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      let topics = 0;
      await fc.assert(
        fc.asyncProperty(
          // What happens, step by step: so many appends at once, or a tail that begins so far back, or a breath.
          fc.array(
            fc.oneof(
              fc.record({ append: fc.integer({ min: 1, max: 30 }) }),
              fc.record({ tail: fc.integer({ min: 0, max: 40 }), maxEntries: fc.integer({ min: 1, max: 50 }) }),
              fc.constant("breath" as const),
            ),
            { maxLength: 60 },
          ),
          async (steps) => {
            const topic = `log/race/${++topics}`;
            const writer = await journal.open(topic);
            const appended: Promise<Position>[] = [];
            const tails: { from: Position; entries: Promise<JournalEntry[]> }[] = [];
            for (const step of steps) {
              if (step === "breath") {
                await setImmediate();
              } else if ("append" in step) {
                for (let i = 0; i < step.append; i++) {
                  appended.push(writer.append(bytes(`${appended.length}`), appended.length));
                }
              } else {
                const from = (await appended.at(-1 - step.tail)) ?? 0;
                const entries = collect(journal.tail(topic, from, never, { maxEntries: step.maxEntries }));
                tails.push({ from, entries });
              }
            }
            await Promise.all(appended);
            await seal(fresh.store, topic);
            const all = await readAll(fresh.store, topic);
            for (const { from, entries } of tails) {
              expect((await entries).map(({ position }) => position)).toEqual(
                all.map(({ position }) => position).filter((position) => position > from),
              );
            }
          },
        ),
        { numRuns: 40 },
      );
    });

    test("an entry wakes the reader of an empty topic, whatever that reader was doing", async () => {
      await using fresh = await freshStore(engine);
      for (let i = 0; i < 300; i++) {
        const topic = `job/wake-${i}`;
        const writer = await fresh.store.journal.open(topic);
        const tail = fresh.store.journal.tail(topic, 0, never);
        const next = tail.next();
        for (let breaths = i % 6; breaths > 0; breaths--) await setImmediate();
        const appended = writer.append(bytes("entry"), 1);
        expect((await next).value?.map(textOf)).toEqual(["entry"]);
        await appended;
        await tail.return();
      }
    });

    test("a reader that asks late gets everything, and holds nobody up", async () => {
      await using fresh = await freshStore(engine);
      await appendTexts(fresh.store, "log/a/1", ["first"]);
      const slow = fresh.store.journal.tail("log/a/1", 0, never, { maxBytes: 100_000 });
      expect((await slow.next()).value?.map(textOf)).toEqual(["first"]);
      await appendTexts(fresh.store, "log/a/1", Array<string>(600).fill("x".repeat(10_000)));
      await seal(fresh.store, "log/a/1");
      expect(await collect(slow)).toHaveLength(601);
    });

    test("a tail ends after the seal, wherever it begins", async () => {
      await using fresh = await freshStore(engine);
      await appendTexts(fresh.store, "log/a/1", ["1", "2"]);
      const position = await seal(fresh.store, "log/a/1");
      await liveAndReopened(fresh, async (store) => {
        expect((await collect(store.journal.tail("log/a/1", 0, never))).map(textOf)).toEqual(["1", "2", "end"]);
        expect(await collect(store.journal.tail("log/a/1", position, never))).toEqual([]);
      });
    });

    test("a tail that waits ends without an error when its signal aborts, and leaves no listener", async () => {
      await using fresh = await freshStore(engine);
      await appendTexts(fresh.store, "log/a/1", ["1"]);
      const controller = new AbortController();
      const tail = fresh.store.journal.tail("log/a/1", 0, controller.signal);
      expect((await tail.next()).value?.map(textOf)).toEqual(["1"]);
      for (const text of ["2", "3"]) {
        const next = tail.next();
        await appendTexts(fresh.store, "log/a/1", [text]);
        expect((await next).value?.map(textOf)).toEqual([text]);
        expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
      }
      const waiting = tail.next();
      await expect.poll(() => getEventListeners(controller.signal, "abort").length).toBe(1);
      controller.abort();
      expect((await waiting).done).toBe(true);
      expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
      expect(await collect(fresh.store.journal.tail("log/a/1", 0, controller.signal))).toEqual([]);
    });

    test("more waits for an entry after a position", async () => {
      await using fresh = await freshStore(engine);
      const { journal } = fresh.store;
      const [first] = await appendTexts(fresh.store, "job/a", ["1"]);
      await journal.more("job/a", 0, never);
      let woken = false;
      const more = journal.more("job/a", first!, never).then(() => (woken = true));
      await appendTexts(fresh.store, "job/b", ["other"]);
      // A round trip of its own: had the other topic woken it, this would come later.
      await journal.last("job/none");
      expect(woken).toBe(false);
      await appendTexts(fresh.store, "job/a", ["2"]);
      await more;

      const controller = new AbortController();
      const aborted = journal.more("job/b", Number.MAX_SAFE_INTEGER, controller.signal);
      controller.abort();
      await aborted;
      expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
    });

    test("a tail that waits fails when the store is closed", async () => {
      await using fresh = await freshStore(engine);
      const waiting = errorOf(fresh.store.journal.tail("log/a/1", 0, never).next());
      const more = errorOf(fresh.store.journal.more("job/a", 0, never));
      await fresh.store.close();
      expect(await waiting).toBeInstanceOf(StoreClosed);
      expect(await more).toBeInstanceOf(StoreClosed);
    });
  });
}

import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Compacted, Conflict } from "../store.ts";
import type { Table, TableRecord } from "../store.ts";
import { bytes, errorOf, freshStore, liveAndReopened, textOf } from "./store-under-test.ts";
import type { StoreUnderTest } from "./store-under-test.ts";

/** What a table promises. */
export function describeTables(engine: StoreUnderTest): void {
  describe("tables", () => {
    const never = new AbortController().signal;
    const shown = ({ key, data }: TableRecord) => (data ? `${key}=${textOf({ data })}` : `${key} gone`);

    /** The next run of a watch that begins after a revision. */
    async function changes(table: Table, after: number): Promise<string[]> {
      for await (const run of table.watch(after, never)) return run.map(shown);
      throw new Error("the watch ended");
    }

    test("a record holds what was put last", async () => {
      await using fresh = await freshStore(engine);
      const table = fresh.store.table("jobs");
      expect(await table.get("a")).toBeUndefined();
      expect(await table.list()).toEqual({ records: [], revision: 0 });
      const first = await table.put("a", bytes("1"));
      const second = await table.put("a", bytes("2"));
      const third = await table.put("b", new Uint8Array());
      expect([first, second, third].every((revision, i, all) => revision > (all[i - 1] ?? 0))).toBe(true);
      await fresh.store.table("workers").put("a", bytes("other"));
      await liveAndReopened(fresh, async (store) => {
        const again = store.table("jobs");
        expect(await again.get("a")).toEqual({ key: "a", revision: second, data: bytes("2") });
        expect(await again.list()).toEqual({
          records: [
            { key: "a", revision: second, data: bytes("2") },
            { key: "b", revision: third, data: bytes("") },
          ],
          revision: third,
        });
      });
    });

    test("a deleted record does not exist", async () => {
      await using fresh = await freshStore(engine);
      const table = fresh.store.table("jobs");
      await table.put("a", bytes("1"));
      await table.put("b", bytes("1"));
      const { revision } = await table.list();
      await table.delete("a");
      expect(await table.get("a")).toBeUndefined();
      const after = await table.list();
      expect(after.records.map(shown)).toEqual(["b=1"]);
      expect(after.revision).toBeGreaterThan(revision);
      await table.delete("a");
      await table.delete("never");
      expect((await table.list()).revision).toBe(after.revision);
      await table.put("a", bytes("2"));
      expect((await table.list()).records.map(shown)).toEqual(["a=2", "b=1"]);
    });

    test("a change that names a revision is refused when the record has another one", async () => {
      await using fresh = await freshStore(engine);
      const table = fresh.store.table("jobs");
      const first = await table.put("a", bytes("1"), { ifRevision: 0 });
      expect(await errorOf(table.put("a", bytes("x"), { ifRevision: 0 }))).toBeInstanceOf(Conflict);
      const second = await table.put("a", bytes("2"), { ifRevision: first });
      expect(await errorOf(table.put("a", bytes("x"), { ifRevision: first }))).toBeInstanceOf(Conflict);
      expect(await errorOf(table.delete("a", { ifRevision: first }))).toBeInstanceOf(Conflict);
      expect(await errorOf(table.put("b", bytes("x"), { ifRevision: first }))).toBeInstanceOf(Conflict);
      expect(await errorOf(table.delete("b", { ifRevision: first }))).toBeInstanceOf(Conflict);
      expect(await table.get("a")).toMatchObject({ revision: second });
      await table.delete("a", { ifRevision: second });
      await table.delete("a", { ifRevision: 0 });
      await table.put("a", bytes("3"), { ifRevision: 0 });
      expect((await table.list()).records.map(shown)).toEqual(["a=3"]);
    });

    test("of changes at once that name the same revision one wins, and others are left alone", async () => {
      await using fresh = await freshStore(engine);
      const table = fresh.store.table("jobs");
      const revision = await table.put("a", bytes("0"));
      const puts = Array.from({ length: 10 }, (_, i) => table.put("a", bytes(`${i}`), { ifRevision: revision }));
      const others = Array.from({ length: 10 }, (_, i) => table.put(`b${i}`, bytes("1")));
      const outcomes = await Promise.allSettled(puts);
      await Promise.all(others);
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      expect((await table.list()).records).toHaveLength(11);
    });

    test("a watch shows the newest state of what changed, deletions included, then what changes live", async () => {
      await using fresh = await freshStore(engine);
      const table = fresh.store.table("jobs");
      for (const key of ["a", "b", "c", "a"]) await table.put(key, bytes(key));
      const { revision } = await table.list();
      await table.delete("b");
      await table.put("d", bytes("d"));
      await liveAndReopened(fresh, async (store) => {
        expect(await changes(store.table("jobs"), 0)).toEqual(["c=c", "a=a", "b gone", "d=d"]);
        expect(await changes(store.table("jobs"), revision)).toEqual(["b gone", "d=d"]);
      });
      const again = fresh.store.table("jobs");
      const controller = new AbortController();
      const watch = again.watch((await again.list()).revision, controller.signal);
      const next = watch.next();
      await fresh.store.table("workers").put("w", bytes("w"));
      await again.delete("c");
      expect((await next).value?.map(shown)).toEqual(["c gone"]);
      const last = watch.next();
      controller.abort();
      expect((await last).done).toBe(true);
    });

    test("whoever folds a watch has the table, whenever it began", async () => {
      await using fresh = await freshStore(engine);
      let tables = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.oneof(
              fc.record({ put: fc.nat({ max: 9 }), value: fc.nat() }),
              fc.record({ remove: fc.nat({ max: 9 }) }),
              fc.constantFrom("watch" as const, "breath" as const),
            ),
            { maxLength: 80 },
          ),
          async (steps) => {
            const table = fresh.store.table(`race_${++tables}`);
            const changed: Promise<unknown>[] = [];
            const watches: Promise<Map<string, TableRecord>>[] = [];
            for (const step of steps) {
              if (step === "watch") watches.push(fold(table));
              else if (step === "breath") await setImmediate();
              else if ("put" in step) changed.push(table.put(`${step.put}`, bytes(`${step.value}`)));
              else changed.push(table.delete(`${step.remove}`));
            }
            await Promise.all(changed);
            await table.put("end", bytes(""));
            const { records } = await table.list();
            for (const watch of watches) {
              const folded = [...(await watch).values()];
              expect(folded.sort((a, b) => (a.key < b.key ? -1 : 1))).toEqual(records);
            }
          },
        ),
        { numRuns: 30 },
      );
    });

    /** A list and what a watch adds to it, until the record `end` is there. */
    async function fold(table: Table): Promise<Map<string, TableRecord>> {
      const { records, revision } = await table.list();
      const state = new Map(records.map((record) => [record.key, record]));
      let newest = revision;
      if (state.has("end")) return state;
      for await (const run of table.watch(revision, never)) {
        for (const record of run) {
          expect(record.revision).toBeGreaterThan(newest);
          newest = record.revision;
          if (record.data) state.set(record.key, record);
          else state.delete(record.key);
        }
        if (state.has("end")) break;
      }
      return state;
    }

    test("a watch from below the removed tombstones is refused", async () => {
      await using fresh = await freshStore(engine);
      const table = fresh.store.table("jobs");
      await table.put("a", bytes("1"));
      await table.put("b", bytes("1"));
      const { revision: early } = await table.list();
      await table.delete("a");
      const { revision: late } = await table.list();
      // Nothing is deleted so early.
      await table.compact(early);
      expect(await changes(table, 0)).toEqual(["b=1", "a gone"]);
      const slow = table.watch(early, never);
      await table.compact(late);
      expect(await errorOf(slow.next())).toBeInstanceOf(Compacted);
      const again = (await fresh.reopen()).table("jobs");
      expect(await errorOf(changes(again, 0))).toBeInstanceOf(Compacted);
      expect(await errorOf(changes(again, early))).toBeInstanceOf(Compacted);
      const { records, revision } = await again.list();
      expect(records.map(shown)).toEqual(["b=1"]);
      // The newest revision was the tombstone's; it is not given again.
      expect(revision).toBe(late);
      expect(await again.put("c", bytes("1"))).toBeGreaterThan(late);
      expect(await changes(again, late)).toEqual(["c=1"]);
    });
  });
}

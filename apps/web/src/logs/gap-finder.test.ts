import type { LogEntry } from "@signalbox/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { GapFinder } from "./gap-finder.ts";
import { LogStore } from "./log-store.ts";
import { gapEntry, marked, numbered } from "./samples.ts";

/** A stored log of runs: so many lines, or so many missing ones. */
function storedLog(runs: readonly { readonly lines: number; readonly missing: boolean }[]): LogEntry[] {
  let next = 1;
  return marked(
    ...runs.map(({ lines, missing }) => {
      const from = next;
      next += lines;
      return missing ? gapEntry(from, lines) : numbered(from, next);
    }),
  );
}

/** What a page finds that has the newest entry alone. */
async function find(entries: readonly LogEntry[]): Promise<{ store: LogStore; reads: number; found: number }> {
  const store = new LogStore();
  const newest = entries.at(-1);
  if (newest) store.add(newest);
  let [reads, found] = [0, 0];
  const finder = new GapFinder(
    store,
    (line) => {
      reads++;
      return Promise.resolve(entries.find((entry) => Number(entry.nextLine) > line));
    },
    () => found++,
  );
  await finder.look();
  return { store, reads, found };
}

test("all gaps of any log are found, and no other", async () => {
  const run = fc.record({ lines: fc.integer({ min: 1, max: 30 }), missing: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(run, { minLength: 1, maxLength: 12 }), async (runs) => {
      const entries = storedLog(runs);
      const { store } = await find(entries);
      const gaps = entries.flatMap(({ entry }) => (entry.case === "gap" ? [entry.value] : []));
      expect(store.gaps.map((gap) => [gap.firstLine, gap.lineCount])).toEqual(
        gaps.map((gap) => [gap.firstLine, gap.lineCount]),
      );
    }),
  );
});

test("one gap among a thousand entries costs about ten of them, a whole log none", async () => {
  const runs = Array.from({ length: 1_000 }, (_, index) => ({ lines: 10, missing: index === 333 }));
  const { reads, store } = await find(storedLog(runs));
  expect(store.gaps).toMatchObject([{ firstLine: 3_331n, lineCount: 10n }]);
  expect(reads).toBeLessThan(15);
  expect((await find(storedLog(runs.map((run) => ({ ...run, missing: false }))))).reads).toBe(0);
});

test("a log with more gaps than can be looked for is given up on, the newest found", async () => {
  const runs = Array.from({ length: 2_000 }, (_, index) => ({ lines: 1, missing: index % 2 === 0 }));
  const { reads, store } = await find(storedLog(runs));
  expect(reads).toBe(200);
  expect(store.gaps.length).toBeGreaterThan(90);
  expect(store.gaps.at(-1)?.firstLine).toBe(1_999n);
});

test("a server that cannot be reached ends the search", async () => {
  const store = new LogStore();
  const [newest] = storedLog([
    { lines: 5, missing: true },
    { lines: 5, missing: false },
  ]).slice(-1);
  if (newest) store.add(newest);
  await new GapFinder(
    store,
    () => Promise.reject(new Error("away")),
    () => {},
  ).look();
  expect(store.gaps).toEqual([]);
});

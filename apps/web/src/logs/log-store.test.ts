import { Source } from "@signalbox/protocol";
import { describe, expect, test } from "vitest";
import type { CommandMarker } from "../jobs/history.ts";
import { LogRows } from "./log-rows.ts";
import { LogStore } from "./log-store.ts";
import { chunkEntry, gapEntry, numbered, type SampleLine } from "./samples.ts";

const text = (store: LogStore, line: number) => {
  const stored = store.line(line);
  return stored && new TextDecoder().decode(stored.lines.bytes(stored.index));
};

function filled(...entries: ReturnType<typeof numbered>[]) {
  const store = new LogStore();
  for (const entry of entries) store.add(entry);
  return store;
}

describe("lines by number", () => {
  test("are found in any order of arrival; a repeated entry changes nothing", () => {
    const store = filled(numbered(11, 21), numbered(1, 11), numbered(11, 21), numbered(31, 41));
    expect([1, 10, 11, 20, 31, 40].map((line) => text(store, line))).toEqual(
      [1, 10, 11, 20, 31, 40].map((line) => `line ${line}\n`),
    );
    expect([21, 30, 41].map((line) => text(store, line))).toEqual([undefined, undefined, undefined]);
    expect(store.endLine).toBe(41);
    const cost = store.costBytes;
    store.add(numbered(1, 11));
    expect(store.costBytes).toBe(cost);
  });

  test("what is missing is told exactly", () => {
    const store = filled(numbered(11, 21), gapEntry(21, 5), numbered(40, 50));
    expect(store.firstMissing(1, 60)).toEqual({ from: 1, to: 11 });
    expect(store.firstMissing(11, 60)).toEqual({ from: 26, to: 40 });
    expect(store.firstMissing(15, 26)).toBeUndefined();
    expect(store.firstMissing(45, 60)).toEqual({ from: 50, to: 60 });
    expect(store.firstMissing(70, 70)).toBeUndefined();
  });

  test("the end may lie beyond what is here", () => {
    const store = filled(numbered(1, 11));
    store.learnEnd(1_000_001, [0n, 0n, 5n, 999_990n, 3n, 2n, 0n]);
    store.add(numbered(11, 21));
    expect(store.endLine).toBe(1_000_001);
    expect(store.levelCounts[5]).toBe(2);
  });

  test("following goes to the newest line that has come, and to the end where that was evicted", () => {
    const store = filled(...Array.from({ length: 10 }, (_, index) => numbered(1 + index * 100, 101 + index * 100)));
    expect(store.followEnd).toBe(1_001);
    store.learnEnd(5_001, []);
    expect(store.followEnd).toBe(1_001);
    store.evict(1, store.costBytes / 4);
    expect(store.followEnd).toBe(5_001);
  });

  test("eviction keeps what is near and stays within the budget", () => {
    const store = filled(...Array.from({ length: 100 }, (_, index) => numbered(1 + index * 100, 101 + index * 100)));
    const budget = store.costBytes / 4;
    store.evict(5000, budget);
    expect(store.costBytes).toBeLessThanOrEqual(budget);
    expect(text(store, 5000)).toBe("line 5000\n");
    expect(text(store, 1)).toBeUndefined();
    expect(text(store, 10_000)).toBeUndefined();
    store.add(numbered(1, 101));
    expect(text(store, 1)).toBe("line 1\n");
  });
});

describe("rows", () => {
  const marker = (line: number, generation = 2): CommandMarker => ({
    generation,
    attempt: 1,
    line,
    who: "ana",
    what: "paused",
    short: "pause",
    atUs: 1,
    afterMs: 38,
    proof: "",
  });
  const keys = (rows: LogRows, from: number, count: number) => {
    const found: string[] = [];
    for (let head = from, step = 0; step < count; step++, head = rows.after(head))
      found.push(...rows.at(head).map((row) => row.key));
    return found;
  };

  test("a marker stands before its line, a gap is one row, an unloaded line has its number", () => {
    const store = filled(numbered(1, 4), gapEntry(4, 13));
    store.learnEnd(20, []);
    const rows = new LogRows(store);
    rows.markers = [marker(2), marker(10, 3)];
    expect(keys(rows, 1, 6)).toEqual(["l1", "m2", "l2", "l3", "m3", "g4", "l17", "l18"]);
    expect(rows.at(18).at(-1)).toMatchObject({ kind: "line", line: 18, here: false });
    expect(rows.head(10)).toBe(4);
    expect(rows.before(17)).toBe(4);
    expect(rows.before(1)).toBeUndefined();
  });

  test("a marker at the end of the log stands after the last line", () => {
    const rows = new LogRows(filled(numbered(1, 3)));
    rows.markers = [marker(3)];
    expect(rows.after(2)).toBe(3);
    expect(rows.at(3).map((row) => row.key)).toEqual(["m2"]);
  });

  const piece = (text: string, continues: boolean, source: Source = Source.STDOUT): SampleLine => ({
    text,
    continues,
    source,
  });
  test("pieces of one source are joined to their first; others are rows of their own", () => {
    const rows = new LogRows(
      filled(
        chunkEntry(1, [piece("10 %", false), piece("\r20 %", true)]),
        chunkEntry(3, [
          piece("\r30 %\n", true),
          piece("a", false),
          piece("err\n", false, Source.STDERR),
          piece("b\n", true),
        ]),
      ),
    );
    expect(rows.at(1)).toMatchObject([{ line: 1, last: 3 }]);
    expect(keys(rows, 1, 4)).toEqual(["l1", "l4", "l5", "l6"]);
    expect(rows.head(3)).toBe(1);
    expect(rows.before(4)).toBe(1);
  });

  test("a marker inside joined pieces parts them, the divider stands before their line", () => {
    const rows = new LogRows(filled(chunkEntry(1, [piece("a", false), piece("b", true), piece("c", true)])));
    rows.markers = [marker(2)];
    rows.divider = { line: 3, atMs: 0 };
    expect(keys(rows, 1, 3)).toEqual(["l1", "m2", "d3", "l2"]);
  });

  test("long pieces are not joined, and a group is found from any of its lines", () => {
    const long = "x".repeat(20_000);
    const store = filled(chunkEntry(1, [piece(long, false), piece("tail\n", true)]));
    expect(new LogRows(store).head(2)).toBe(2);
    const many = filled(
      chunkEntry(
        1,
        Array.from({ length: 600 }, (_, index) => piece(".", index > 0)),
      ),
    );
    const rows = new LogRows(many);
    for (const line of [1, 255, 256, 300, 511, 512, 600]) {
      const head = rows.head(line);
      const row = rows.at(head)[0];
      expect(row).toMatchObject({ line: head });
      expect(row?.kind === "line" && row.last >= line).toBe(true);
    }
  });
});

import { expect, test } from "vitest";
import type { Pool } from "./pools.ts";
import { workerRecord } from "./samples.ts";
import { countNew, layRows, rowAt, sameOrder, sizeOf } from "./table-rows.ts";

const pool = (id: string, ...names: string[]): Pool => ({
  id,
  kind: id === "gone" ? "gone" : "pool",
  name: id,
  workers: names.map((workerId) => workerRecord({ workerId })),
});
const heights = { head: 32, worker: 36 };

test("rows stand below each other, a folded pool is its head alone, and each pixel finds its row", () => {
  const rows = layRows(["render"], [pool("a", "a1", "a2"), pool("gone", "g1")], ({ kind }) => kind === "gone", heights);
  expect(rows.map(({ key, top }) => [key, top])).toEqual([
    ["type render", 0],
    ["pool a", 32],
    ["a1", 64],
    ["a2", 100],
    ["pool gone", 136],
  ]);
  for (let y = -10; y < 200; y++) {
    const expected = rows.findIndex(({ top, height }) => top + height > y);
    expect(rowAt(rows, y)).toBe(expected < 0 ? rows.length : expected);
  }
});

test("an order is the same if the same workers stand in the same places", () => {
  const order = [pool("a", "a1", "a2"), pool("b", "b1")];
  expect(sameOrder(order, [pool("a", "a1", "a2"), pool("b", "b1")])).toBe(true);
  for (const other of [
    [pool("a", "a2", "a1"), pool("b", "b1")],
    [pool("a", "a1", "a2")],
    [pool("a", "a1"), pool("b", "b1")],
  ])
    expect(sameOrder(order, other)).toBe(false);
  expect(countNew(order, [pool("a", "a1", "a3"), pool("c", "b1", "c1")])).toBe(2);
});

test("the table has columns as long as they have room", () => {
  expect([1920, 1440, 1280, 1068, 768, 420].map(sizeOf)).toEqual([
    "widest",
    "wide",
    "broad",
    "middle",
    "narrow",
    "small",
  ]);
});

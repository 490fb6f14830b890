import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { Turns } from "./turns.ts";

const kib = 1024;
const never = new AbortController().signal;

test("readers that come together are served in their order, 256 KiB in each turn of the loop, and others are heard between", async () => {
  const turns = new Turns();
  const events: string[] = [];
  const reader = async (name: string, bytes: number, signal = never) => {
    await turns.take(bytes, signal);
    events.push(name);
  };
  const gone = new AbortController();
  const all = [
    reader("a", 150 * kib),
    reader("b", 100 * kib),
    reader("c", 100 * kib),
    reader("d", 500 * kib),
    reader("gone", 200 * kib, gone.signal),
    reader("e", 50 * kib),
    reader("f", 200 * kib),
  ];
  gone.abort();
  for (let turn = 1; turn <= 4; turn++) {
    await nextTurn();
    events.push(`turn ${turn}`);
  }
  await Promise.all(all);
  expect(events).toEqual(["a", "b", "c", "turn 1", "d", "gone", "turn 2", "e", "f", "turn 3", "turn 4"]);
});

test("who wants little never waits for those who want much", async () => {
  const turns = new Turns();
  let served = 0;
  const many = Array.from({ length: 50 }, () => turns.take(256 * kib, never).then(() => served++));
  await turns.take(500, never);
  expect(served).toBe(1);
  await Promise.all(many);
});

test("who is alone never waits", async () => {
  const turns = new Turns();
  let took = 0;
  void (async () => {
    await turns.take(256 * kib, never);
    took++;
    await nextTurn();
    await turns.take(256 * kib, never);
    took++;
  })();
  await Promise.resolve();
  expect(took).toBe(1);
  await nextTurn();
  await nextTurn();
  expect(took).toBe(2);
});

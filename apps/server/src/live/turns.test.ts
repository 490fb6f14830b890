import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { Turns } from "./turns.ts";

test("readers that come together are served in their order, so much in each turn of the loop, and others are heard between", async () => {
  const turns = new Turns(100);
  const events: string[] = [];
  const reader = async (name: string, bytes: number) => {
    await turns.take(bytes);
    events.push(name);
  };
  const all = [reader("a", 60), reader("b", 30), reader("c", 30), reader("d", 500), reader("e", 10), reader("f", 80)];
  for (let turn = 1; turn <= 4; turn++) {
    await nextTurn();
    events.push(`turn ${turn}`);
  }
  await Promise.all(all);
  expect(events).toEqual(["a", "b", "c", "turn 1", "d", "turn 2", "e", "f", "turn 3", "turn 4"]);
});

test("who is alone never waits", async () => {
  const turns = new Turns(100);
  let took = 0;
  void (async () => {
    await turns.take(1_000);
    took++;
    await nextTurn();
    await turns.take(1_000);
    took++;
  })();
  await Promise.resolve();
  expect(took).toBe(1);
  await nextTurn();
  await nextTurn();
  expect(took).toBe(2);
});

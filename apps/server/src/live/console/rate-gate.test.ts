import { expect, test } from "vitest";
import { RateGate } from "./rate-gate.ts";

test("who waits takes turns in order, one at a time, and who leaves is passed over", async () => {
  let nowMs = 0;
  const gate = new RateGate(() => nowMs);
  gate.setRate(10);
  const stay = new AbortController();
  const leave = new AbortController();
  const order: string[] = [];
  const first = await gate.turn(stay.signal);
  expect(first?.allowed).toBe(1);
  const turns = [
    gate.turn(stay.signal).then((turn) => (order.push("a"), turn)),
    gate.turn(leave.signal).then((turn) => (order.push("left"), turn)),
    gate.turn(stay.signal).then((turn) => (order.push("b"), turn)),
  ] as const;
  first?.end(1);
  leave.abort();
  expect(await turns[1]).toBeUndefined();
  nowMs = 100;
  (await turns[0])?.end(1);
  nowMs = 200;
  (await turns[2])?.end(1);
  expect(order).toEqual(["left", "a", "b"]);
  expect(await gate.turn(AbortSignal.abort())).toBeUndefined();
});

test("a rate that is lifted lets go at once who waits", async () => {
  const gate = new RateGate();
  gate.setRate(0.0001);
  gate.count(1);
  const turn = gate.turn(new AbortController().signal);
  gate.setRate(undefined);
  expect((await turn)?.allowed).toBe(Infinity);
  // A turn that is not given back holds up the others; without a limit it is no different.
  (await turn)?.end(100);
  expect(gate.letOnePass()).toBe(false);
});

import { expect, test } from "vitest";
import { Wakes } from "./wakes.ts";

const never = new AbortController().signal;

test("news between looking and waiting is not missed", async () => {
  const wakes = new Wakes();
  using watched = wakes.watch("a");
  const seen = watched.count;
  wakes.wake("a");
  await watched.changed(seen, never);
});

test("news wakes everybody who waits for that name, and nobody else", async () => {
  const wakes = new Wakes();
  using first = wakes.watch("a");
  using second = wakes.watch("a");
  using other = wakes.watch("b");
  const woken: string[] = [];
  const waits = [
    first.changed(0, never).then(() => woken.push("first")),
    second.changed(0, never).then(() => woken.push("second")),
  ];
  const stop = new AbortController();
  const waiting = other.changed(0, stop.signal).then(() => woken.push("other"));
  wakes.wake("a");
  await Promise.all(waits);
  expect(woken).toEqual(["first", "second"]);
  stop.abort();
  await waiting;
});

test("a name that nobody watches any more is forgotten", () => {
  const wakes = new Wakes();
  {
    using first = wakes.watch("a");
    using second = wakes.watch("a");
    expect(second.count).toBe(first.count);
    expect(wakes.size).toBe(1);
  }
  wakes.wake("a");
  expect(wakes.size).toBe(0);
});

test("the end reaches who waits and who comes later", async () => {
  const wakes = new Wakes();
  using watched = wakes.watch("a");
  const waiting = watched.changed(0, never);
  wakes.end(new Error("over"));
  await expect(waiting).rejects.toThrow("over");
  await expect(watched.changed(0, never)).rejects.toThrow("over");
});

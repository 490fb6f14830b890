import { expect, test } from "vitest";
import { merge } from "./merge.ts";

async function* numbers(from: number, count: number): AsyncGenerator<number> {
  for (let i = 0; i < count; i++) yield from + i;
}

async function* silent(signal: AbortSignal, onEnd: () => void): AsyncGenerator<number> {
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  onEnd();
  yield* [];
}

test("every item of every source comes, in the order of its source", async () => {
  const seen: number[] = [];
  for await (const item of merge(
    () => [numbers(0, 50), numbers(100, 50), numbers(200, 3)],
    new AbortController().signal,
  ))
    seen.push(item);
  expect(seen).toHaveLength(103);
  for (const from of [0, 100, 200]) {
    const own = seen.filter((item) => item >= from && item < from + 100);
    expect(own).toEqual([...own].sort((a, b) => a - b));
  }
});

test("a source that never has anything blocks nobody, and is told when the reader leaves", async () => {
  let ended = false;
  let stop: AbortSignal | undefined;
  for await (const item of merge(
    (signal) => ((stop = signal), [silent(signal, () => (ended = true)), numbers(0, 10)]),
    new AbortController().signal,
  )) {
    if (item === 9) break;
  }
  expect(stop?.aborted).toBe(true);
  await expect.poll(() => ended).toBe(true);
});

test("a source that is always ready does not starve another", async () => {
  const order: number[] = [];
  for await (const item of merge(() => [numbers(0, 1000), numbers(5000, 5)], new AbortController().signal))
    order.push(item);
  expect(order.indexOf(5004)).toBeLessThan(20);
});

test("it ends without an error when its signal aborts", async () => {
  const abort = new AbortController();
  const reading = (async () => {
    for await (const item of merge((signal) => [silent(signal, () => undefined)], abort.signal)) return item;
    return "ended";
  })();
  abort.abort();
  expect(await reading).toBe("ended");
});

test("what a source throws reaches the reader", async () => {
  async function* broken(): AsyncGenerator<number> {
    yield 1;
    throw new Error("broken");
  }
  const read = async () => {
    for await (const item of merge(() => [broken()], new AbortController().signal)) expect(item).toBe(1);
  };
  await expect(read()).rejects.toThrow("broken");
});

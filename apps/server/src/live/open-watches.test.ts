import { expect, test } from "vitest";
import { Refused } from "../refused.ts";
import { OpenWatches } from "./open-watches.ts";

const never = new AbortController().signal;

/** A watch that says hello and then nothing more. */
async function* hello() {
  yield "hello";
  await new Promise(() => undefined);
}

const refusal = async (next: Promise<unknown>) => {
  const error: unknown = await next.catch((reason: unknown) => reason);
  return error instanceof Refused ? `${error.kind}: ${error.message}` : "served";
};

test("a connection has only so many watches, others are not disturbed, and one that ends makes room", async () => {
  const watches = new OpenWatches(10, 2);
  const [one, other] = [{}, {}];
  const first = new AbortController();
  await watches.count(one, 1, hello(), first.signal).next();
  await watches.count(one, 1, hello(), never).next();
  expect(await refusal(watches.count(one, 1, hello(), never).next())).toContain("exhausted: There are 2 watches");
  expect(await refusal(watches.count(other, 1, hello(), never).next())).toBe("served");
  first.abort();
  expect(await refusal(watches.count(one, 1, hello(), never).next())).toBe("served");
  expect(watches.size).toBe(3);
});

test("all connections together have only so many watches", async () => {
  const watches = new OpenWatches(2, 2);
  const ended = watches.count({}, 1, hello(), never);
  await ended.next();
  await watches.count({}, 1, hello(), never).next();
  expect(await refusal(watches.count({}, 1, hello(), never).next())).toContain("exhausted: This server serves 2");
  const done = watches.count({}, 1, hello(), AbortSignal.abort());
  expect(await refusal(done.next())).toContain("exhausted");
});

test("all watches together have only so many subscriptions", async () => {
  const watches = new OpenWatches(10, 10, 8);
  const first = new AbortController();
  await watches.count({}, 5, hello(), first.signal).next();
  expect(await refusal(watches.count({}, 4, hello(), never).next())).toContain("exhausted");
  expect(await refusal(watches.count({}, 3, hello(), never).next())).toBe("served");
  first.abort();
  expect(await refusal(watches.count({}, 5, hello(), never).next())).toBe("served");
});

test("a watch that fails, or that its reader leaves, does not count any more", async () => {
  const watches = new OpenWatches(1, 1);
  const failing = (async function* () {
    yield "hello";
    throw new Error("broken");
  })();
  const failed = watches.count({}, 1, failing, never);
  await failed.next();
  await expect(failed.next()).rejects.toThrow("broken");
  expect(watches.size).toBe(0);
  const left = watches.count(
    {},
    1,
    (async function* () {
      yield "hello";
      yield "more";
    })(),
    never,
  );
  await left.next();
  await left.return(undefined);
  expect(watches.size).toBe(0);
});

import { getEventListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { forManyListeners } from "./many-listeners.ts";

test("a signal for many tells all who listen when it aborts, and none who has gone", async () => {
  const controller = new AbortController();
  const signal = forManyListeners(controller.signal);
  const heard: string[] = [];
  const gone = () => heard.push("gone");
  signal.addEventListener("abort", () => heard.push(`first: ${String(signal.reason)}`));
  signal.addEventListener("abort", gone);
  signal.addEventListener("abort", { handleEvent: (event) => heard.push(`second: ${event.type}`) }, { once: true });
  signal.removeEventListener("abort", gone);
  const waiting = expect(delay(60_000, undefined, { signal })).rejects.toThrow(/aborted/);
  const either = AbortSignal.any([signal, new AbortController().signal]);
  controller.abort("enough");
  expect(heard).toEqual(["first: enough", "second: abort"]);
  expect(either.reason).toBe("enough");
  await waiting;
});

test("for a signal for many it is all the same how many listen already", () => {
  const signal = forManyListeners(new AbortController().signal);
  const listeners = Array.from({ length: 100_000 }, () => () => undefined);
  for (const listener of listeners) signal.addEventListener("abort", listener);
  for (const listener of listeners) signal.removeEventListener("abort", listener);
  // Node looks through its own list for each of them.
  expect(getEventListeners(signal, "abort")).toHaveLength(1);
});

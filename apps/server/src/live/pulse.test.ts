import { expect, test, vi } from "vitest";
import { Pulse } from "./pulse.ts";

test("all who wait go on at the same beat, whenever they came, and who is aborted goes at once", async () => {
  vi.useFakeTimers();
  try {
    const pulse = new Pulse(50);
    const gone: string[] = [];
    const stop = new AbortController();
    const wait = (name: string, signal = new AbortController().signal) =>
      void pulse.wait(signal).then(() => gone.push(name));
    wait("early");
    await vi.advanceTimersByTimeAsync(40);
    wait("late");
    wait("aborted", stop.signal);
    stop.abort();
    await vi.advanceTimersByTimeAsync(5);
    expect(gone).toEqual(["aborted"]);
    await vi.advanceTimersByTimeAsync(5);
    expect(gone).toEqual(["aborted", "early", "late"]);
    wait("next");
    await vi.advanceTimersByTimeAsync(49);
    expect(gone).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(1);
    expect(gone.at(-1)).toBe("next");
  } finally {
    vi.useRealTimers();
  }
});

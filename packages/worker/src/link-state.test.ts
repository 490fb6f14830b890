import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { initialState, linkOf, nextState, type WorkerEvent, type WorkerState } from "./link-state.ts";

const lost = (atMs: number, random = 1): WorkerEvent => ({
  kind: "lost",
  atMs,
  reason: "cut",
  random,
  longestDelayMs: 5000,
});

function after(events: WorkerEvent[]): WorkerState {
  return events.reduce(nextState, initialState);
}

const event: fc.Arbitrary<WorkerEvent> = fc.oneof(
  fc.record({ kind: fc.constant("welcomed" as const), atMs: fc.nat(10_000) }),
  fc.record({
    kind: fc.constant("lost" as const),
    atMs: fc.nat(20_000),
    reason: fc.constant("cut"),
    random: fc.double({ min: 0, max: 1, noNaN: true }),
    longestDelayMs: fc.constant(5000),
  }),
  fc.constant({ kind: "retry" as const }),
  fc.constant({ kind: "stop" as const, reason: "asked" }),
  fc.constant({ kind: "closed" as const }),
);

describe("the state of a worker", () => {
  test("a link that was steady is made again within 100 ms, then within half of the time that it is away, 5 s at most", () => {
    const delays: number[] = [];
    let state = after([{ kind: "welcomed", atMs: 0 }]);
    for (const awayMs of [0, 100, 250, 500, 1000, 4000, 9000, 20_000, 600_000]) {
      state = nextState(state, lost(10_000 + awayMs));
      if (state.kind === "backing-off") delays.push(state.delayMs);
      state = nextState(state, { kind: "retry" });
    }
    expect(delays).toEqual([100, 100, 125, 250, 500, 2000, 4500, 5000, 5000]);
  });

  test("delays are spread evenly over the whole time up to their bound", () => {
    const delays = [0, 0.25, 0.5, 1].map((random) => {
      const state = after([lost(0), { kind: "retry" }, lost(2000, random)]);
      return state.kind === "backing-off" ? state.delayMs : undefined;
    });
    expect(delays).toEqual([0, 250, 500, 1000]);
  });

  test("a server that hangs up right after the welcome is not called in a tight loop", () => {
    let state: WorkerState = initialState;
    for (let i = 0; i < 5; i++) {
      state = nextState(nextState(state, { kind: "welcomed", atMs: i * 1500 }), lost(i * 1500 + 1499));
      expect(state).toMatchObject({ kind: "backing-off", failures: i + 1, delayMs: Math.max(100, i * 750) });
      state = nextState(state, { kind: "retry" });
    }
  });

  test("stopping shows over whatever the link does, and closed is the end", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30 }), (events) => {
        let state: WorkerState = initialState;
        for (const each of events) {
          const before = state;
          state = nextState(state, each);
          if (before.kind === "closed") expect(state).toBe(before);
          if (before.kind === "draining") expect(["draining", "closed"]).toContain(state.kind);
          if (each.kind === "closed") expect(state.kind).toBe("closed");
          const link = linkOf(state);
          if (link?.kind === "backing-off") {
            expect(link.delayMs).toBeGreaterThanOrEqual(0);
            expect(link.delayMs).toBeLessThanOrEqual(5000);
          }
        }
      }),
    );
  });

  test("an event that means nothing leaves the very same state", () => {
    const open = after([{ kind: "welcomed", atMs: 0 }]);
    expect(nextState(open, { kind: "retry" })).toBe(open);
    const draining = nextState(open, { kind: "stop", reason: "a" });
    expect(nextState(draining, { kind: "stop", reason: "b" })).toBe(draining);
    expect(nextState(draining, { kind: "retry" })).toBe(draining);
  });
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { RecentGaps } from "./recent-gaps.ts";

test("the median is that of the newest 63", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 200 }), (durations) => {
      const gaps = new RecentGaps();
      for (const ms of durations) gaps.add(ms);
      const newest = durations.slice(-63).sort((a, b) => a - b);
      expect(gaps.median).toBe(newest[newest.length >> 1]);
    }),
  );
});

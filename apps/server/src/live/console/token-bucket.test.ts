import fc from "fast-check";
import { expect, test } from "vitest";
import { Refused } from "../../refused.ts";
import { TokenBucket } from "./token-bucket.ts";

const rate = fc.oneof(fc.double({ min: 0.01, max: 2_000, noNaN: true }), fc.integer({ min: 1, max: 50 }));
const step = fc.oneof(
  fc.record({ kind: fc.constant("wait" as const), ms: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.nat(20_000)) }),
  fc.record({ kind: fc.constant("take" as const), most: fc.integer({ min: 1, max: 500 }) }),
  fc.record({ kind: fc.constant("force" as const), count: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ kind: fc.constant("rate" as const), rate: fc.option(rate, { nil: undefined }) }),
);

test("in every stretch of time a bucket lets no more events through than its rate and a tenth of a second allow", () => {
  fc.assert(
    fc.property(rate, fc.array(step, { maxLength: 60 }), (first, steps) => {
      let nowMs = 0;
      const bucket = new TokenBucket(nowMs);
      bucket.setRate(first, nowMs);
      /** What was let through since the rate was set, and when. */
      let sent: { ms: number; count: number }[] = [];
      for (const each of steps) {
        if (each.kind === "wait") nowMs += each.ms;
        else if (each.kind === "force") bucket.spend(each.count, nowMs);
        else if (each.kind === "rate") {
          bucket.setRate(each.rate, nowMs);
          sent = [];
        } else {
          const count = Math.min(each.most, bucket.available(nowMs));
          bucket.spend(count, nowMs);
          sent.push({ ms: nowMs, count });
        }
        if (bucket.perSecond === Infinity) continue;
        for (const [from, { ms }] of sent.entries()) {
          const within = sent.slice(from).reduce((sum, { count }) => sum + count, 0);
          const allowed = Math.max(1, bucket.perSecond / 10) + (bucket.perSecond * (nowMs - ms)) / 1000;
          expect(within).toBeLessThanOrEqual(allowed + 1e-6);
        }
      }
    }),
  );
});

test("who waits as long as a bucket says may send one event then, and not before", () => {
  fc.assert(
    fc.property(rate, fc.nat(20), (perSecond, forced) => {
      const bucket = new TokenBucket(0);
      bucket.setRate(perSecond, 0);
      bucket.spend(bucket.available(0) + forced, 0);
      const dueMs = bucket.dueInMs(0);
      expect(bucket.available(dueMs * 0.99)).toBe(0);
      expect(bucket.available(dueMs * 1.000001)).toBeGreaterThanOrEqual(1);
    }),
  );
});

test("a rate is above 0 and has an end; without one everything goes", () => {
  const bucket = new TokenBucket(0);
  for (const wrong of [0, -1, NaN, Infinity]) expect(() => bucket.setRate(wrong, 0)).toThrow(Refused);
  bucket.spend(1_000_000, 0);
  expect(bucket.available(0)).toBe(Infinity);
});

import fc from "fast-check";
import { expect, test } from "vitest";
import type { TableRecord } from "../store.ts";
import { RecentRecords } from "./recent-records.ts";

const key = fc.constantFrom("a", "b", "c", "d");
const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("put" as const), key }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("delete" as const), key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("compact" as const), key }) },
);
const record = (each: string, revision: number): TableRecord => ({ key: each, revision, data: new Uint8Array(20) });

test("who asks for changes gets the newest state of each key that changed, in order, or is told that some may not be there", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 300, max: 3_000 }),
      fc.integer({ min: 1, max: 5 }),
      (steps, maxBytes, maxRecords) => {
        const recent = new RecentRecords(maxBytes);
        const all: TableRecord[] = [];
        for (const { kind, key } of steps) {
          if (kind === "compact") {
            recent.compact("t", Math.floor(all.length / 2));
            expect(recent.after("t", Math.floor(all.length / 2) - 1, 1, 1)).toBeUndefined();
            continue;
          }
          all.push({ ...record(key, all.length + 1), ...(kind === "delete" && { data: undefined }) });
          recent.add("t", all.at(-1)!);
        }
        const isNewest = ({ key, revision }: TableRecord) => !all.slice(revision).some((later) => later.key === key);
        let answered = 0;
        for (let from = 0; from <= all.length; from++) {
          const got = recent.after("t", from, maxRecords, 45);
          if (!got) continue;
          answered++;
          const rest = all.slice(from).filter(isNewest);
          expect(got.length).toBeGreaterThanOrEqual(Math.min(rest.length, 1));
          expect(got.length).toBeLessThanOrEqual(maxRecords);
          expect(got).toEqual(rest.slice(0, got.length));
        }
        // Whoever has all but the newest is always answered.
        if (steps.at(-1)?.kind === "put") expect(answered).toBeGreaterThan(1);
      },
    ),
    { numRuns: 500 },
  );
});

test("after a commit of which nobody knows what it changed, those from before it are sent to the database", () => {
  const recent = new RecentRecords(1_000_000);
  recent.add("t", record("a", 1));
  recent.add("t", record("b", 3));
  expect(recent.after("t", 1, 10, 1_000)).toBeUndefined();
  expect(recent.after("t", 2, 10, 1_000)).toEqual([record("b", 3)]);
  expect(recent.after("other", 0, 10, 1_000)).toBeUndefined();
});

import { create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  BulkCommandSchema,
  BulkEntrySchema,
  BulkOutcome,
  BulkRecordSchema,
  BulkResultSchema,
  BulkState,
  type BulkEntry,
} from "@signalbox/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Refused } from "../refused.ts";
import {
  afterEntry,
  entryOfBegin,
  entryOfResults,
  entryOfStart,
  entryOfUndo,
  isOver,
  type BulkHistory,
} from "./bulk-fold.ts";

const actor = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator" });
const other = create(ActorSchema, { kind: ActorKind.MACHINE, name: "token" });

const step = fc.oneof(
  fc.constant({ kind: "begin" } as const),
  fc.constant({ kind: "release" } as const),
  fc.constant({ kind: "undo" } as const),
  fc.record({
    kind: fc.constant("results" as const),
    outcomes: fc.array(fc.constantFrom(BulkOutcome.ACCEPTED, BulkOutcome.SKIPPED, BulkOutcome.REFUSED), {
      maxLength: 4,
    }),
    stops: fc.boolean(),
  }),
);

/** The entry that a step makes; undefined if it is refused. */
function entryOf(history: BulkHistory, next: typeof step extends fc.Arbitrary<infer S> ? S : never, now: number) {
  try {
    switch (next.kind) {
      case "begin":
        return entryOfBegin(history, undefined, now);
      case "release":
        return entryOfBegin(history, other, now);
      case "undo":
        return entryOfUndo(history, other, now);
      case "results": {
        const known = history.results.length;
        const results = next.outcomes.map((outcome, i) =>
          create(BulkResultSchema, { jobId: history.jobIds[known + i] ?? "", outcome }),
        );
        return entryOfResults(history, results, next.stops ? other : undefined, now);
      }
    }
  } catch (error) {
    if (error instanceof Refused || error instanceof RangeError) return undefined;
    throw error;
  }
}

const ways: Readonly<Record<BulkState, readonly BulkState[]>> = {
  [BulkState.UNSPECIFIED]: [],
  [BulkState.HELD]: [BulkState.RUNNING, BulkState.UNDONE],
  [BulkState.RUNNING]: [BulkState.RUNNING, BulkState.DONE, BulkState.STOPPED],
  [BulkState.DONE]: [],
  [BulkState.UNDONE]: [],
  [BulkState.STOPPED]: [],
};

test("whatever is asked in whatever order, states go one way, counts are those of the results, and a replay of what is stored is the same", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.array(step, { maxLength: 12 }), (jobs, steps) => {
      const jobIds = Array.from({ length: jobs }, (_, i) => `j-${i}`);
      const entries: BulkEntry[] = [];
      let now = 1_000_000;
      const first = entryOfStart(
        {
          ...{ id: "b-1", actor, jobIds, selectionWords: "all jobs", holdMs: 5_000, perSecond: 100 },
          command: create(BulkCommandSchema, { action: { case: "retry", value: {} } }),
          startDigest: new Uint8Array([1]),
        },
        now,
      );
      entries.push(first);
      let history = afterEntry(undefined, first);
      for (const next of steps) {
        now += 1000;
        const before = history;
        const entry = entryOf(history, next, now);
        if (!entry) {
          expect(history).toBe(before);
          continue;
        }
        entries.push(entry);
        history = afterEntry(history, entry);
        const { record, results } = history;
        expect(ways[before.record.state]).toContain(record.state);
        // What was known before is not changed by what comes.
        expect(results.slice(0, before.results.length)).toEqual(before.results);
        expect(results.map(({ jobId }) => jobId)).toEqual(jobIds.slice(0, results.length));
        const count = (outcome: BulkOutcome) => results.filter((each) => each.outcome === outcome).length;
        expect([record.accepted, record.skipped, record.refused]).toEqual([
          count(BulkOutcome.ACCEPTED),
          count(BulkOutcome.SKIPPED),
          count(BulkOutcome.REFUSED),
        ]);
        expect(record.state === BulkState.DONE).toBe(results.length === jobs);
        expect(isOver(record)).toBe(record.endedAtUs > 0n);
        if (record.state === BulkState.UNDONE) expect(results).toEqual([]);
        if (record.state === BulkState.UNDONE || record.state === BulkState.STOPPED)
          expect(record.endedBy).toEqual(other);
        expect(record.results).toEqual([]);
      }
      let replayed: BulkHistory | undefined;
      for (const entry of entries)
        replayed = afterEntry(replayed, fromBinary(BulkEntrySchema, toBinary(BulkEntrySchema, entry)));
      expect(replayed && equals(BulkRecordSchema, replayed.record, history.record)).toBe(true);
      expect(replayed?.jobIds).toEqual(history.jobIds);
      expect(replayed?.results).toEqual(history.results);
      expect(replayed?.startDigest).toEqual(history.startDigest);
    }),
    { numRuns: 500 },
  );
});

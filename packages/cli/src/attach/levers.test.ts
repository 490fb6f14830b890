import { create } from "@bufbuild/protobuf";
import { JobRecordSchema, Level, VitalsSchema, type JobRecord } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { nextLevel, nextSpeed } from "./levers.ts";
import { bar } from "./status-row.ts";

const withSpeed = (itemsPerSecond?: number): JobRecord =>
  create(JobRecordSchema, {
    spec: {
      levers: [{ value: { value: { case: "speed", value: itemsPerSecond === undefined ? {} : { itemsPerSecond } } } }],
    },
  });
const withLevel = (level: Level): JobRecord =>
  create(JobRecordSchema, { spec: { levers: [{ value: { value: { case: "logLevel", value: { level } } } }] } });

test.each([
  [1, 2, 0.5],
  [20, 50, 10],
  [50, 100, 20],
  [37, 50, 20],
  [0.3, 0.5, 0.2],
  [100, 200, 50],
  [1_000_000, undefined, 500_000],
])("from %d items a second the next speeds are %d and %d", (now, faster, slower) => {
  expect([nextSpeed(withSpeed(now), undefined, true), nextSpeed(withSpeed(now), undefined, false)]).toEqual([
    faster,
    slower,
  ]);
});

test("without a limit slower begins with what is measured, and faster stays without one", () => {
  const vitals = create(VitalsSchema, { itemsPerSecond: 340 });
  expect(nextSpeed(withSpeed(), vitals, false)).toBe(200);
  expect(nextSpeed(withSpeed(), vitals, true)).toBeUndefined();
  expect(nextSpeed(create(JobRecordSchema), undefined, false)).toBe(50);
});

test("levels come one after the other, and round again", () => {
  expect([Level.TRACE, Level.INFO, Level.ERROR, Level.FATAL].map((level) => nextLevel(withLevel(level)))).toEqual([
    ...[Level.DEBUG, Level.WARN, Level.TRACE, Level.TRACE],
  ]);
});

test("a bar is as long as it is, whatever its share", () => {
  expect([bar(0), bar(0.5), bar(1), bar(7)]).toEqual([
    ...["░".repeat(20), "█".repeat(10) + "░".repeat(10), "█".repeat(20), "█".repeat(20)],
  ]);
  for (let share = 0; share <= 1; share += 0.013) expect(bar(share)).toHaveLength(20);
});

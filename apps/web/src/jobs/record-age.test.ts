import { JobState, Level, LeverOutcome, ReceiptState } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { logLevelValue } from "./log-level.ts";
import { isOlder } from "./record-age.ts";
import { jobRecord } from "./samples.ts";

const value = logLevelValue(Level.DEBUG);
const at = (state: ReceiptState, received: bigint, applied: boolean) =>
  jobRecord({
    state: JobState.RUNNING,
    spec: { generation: 7n, levers: [{ generation: 7n, value }] },
    attempts: [
      {
        number: 1,
        receivedGeneration: received,
        levers: applied ? [{ generation: 7n, value, outcome: LeverOutcome.APPLIED }] : [],
      },
    ],
    receipts: [{ generation: 7n, value, state }],
  });

test("an answer that comes after the worker's word on the same command does not take it back", () => {
  const [accepted, delivered, applied] = [
    at(ReceiptState.ACCEPTED, 6n, false),
    at(ReceiptState.DELIVERED, 7n, false),
    at(ReceiptState.APPLIED, 7n, true),
  ];
  for (const [older, newer] of [
    [accepted, delivered],
    [delivered, applied],
    [accepted, applied],
  ] as const)
    expect([isOlder(older, newer), isOlder(newer, older)]).toEqual([true, false]);
  expect(isOlder(applied, applied)).toBe(false);
});

test("a position decides where both have one, a new generation or attempt before all else", () => {
  const init = { spec: { generation: 3n } };
  expect(isOlder(jobRecord({ ...init, entryPosition: 4n }), jobRecord({ entryPosition: 5n }))).toBe(true);
  expect(isOlder(jobRecord(init), jobRecord({ spec: { generation: 2n }, attempts: [{ number: 2 }] }))).toBe(false);
  expect(
    isOlder(jobRecord({ attempts: [{ number: 1, receivedGeneration: 9n }] }), jobRecord({ attempts: [{ number: 2 }] })),
  ).toBe(true);
});

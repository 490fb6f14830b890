import { create } from "@bufbuild/protobuf";
import { JobState, VitalsSchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { jobRecord } from "../samples.ts";
import { compareKeys, nextSort, parseSort, sortColumns, sortKey, sortParameter, type SortColumn } from "./job-sort.ts";

test("a sort is the same after a way through the URL, and nonsense is none", () => {
  for (const column of Object.keys(sortColumns) as SortColumn[])
    for (const down of [true, false])
      expect(parseSort(sortParameter({ column, down }) ?? null)).toEqual({ column, down });
  expect([parseSort(null), parseSort("colour"), parseSort("-toString"), sortParameter(undefined)]).toEqual([
    ...[undefined, undefined, undefined, undefined],
  ]);
});

test("a column is sorted its own way, then the other way, then not any more", () => {
  const first = nextSort(undefined, "errors");
  const second = nextSort(first, "errors");
  expect([first, second, nextSort(second, "errors")]).toEqual([
    { column: "errors", down: true },
    { column: "errors", down: false },
    undefined,
  ]);
  expect(nextSort(first, "name")).toEqual({ column: "name", down: false });
});

test("jobs without a value are last, whichever way", () => {
  for (const down of [true, false]) {
    const keys = [3, undefined, 1, 2].sort((a, b) => compareKeys(a, b, down));
    expect(keys).toEqual([...(down ? [3, 2, 1] : [1, 2, 3]), undefined]);
  }
});

test("keys are what the columns show", () => {
  const job = jobRecord({
    name: "Nightly",
    state: JobState.RUNNING,
    attempts: [{ number: 1, workerId: "box" }],
    startedAtUs: 5n,
  });
  const vitals = create(VitalsSchema, {
    ...{ itemsDone: 25n, itemsTotal: 100n, itemsPerSecond: 12.5 },
    levelCounts: [0n, 0n, 0n, 0n, 0n, 3n, 1n],
  });
  const key = (column: SortColumn) => sortKey(column, job, vitals);
  expect([key("name"), key("progress"), key("rate"), key("errors"), key("worker"), key("age")]).toEqual([
    ...["nightly", 0.25, 12.5, 4, "box", 5],
  ]);
  expect(sortKey("rate", jobRecord({ state: JobState.SUCCEEDED, endedAtUs: 9n }), vitals)).toBeUndefined();
  const rank = (state: JobState) => Number(sortKey("state", jobRecord({ state }), undefined));
  expect(rank(JobState.LOST)).toBeLessThan(rank(JobState.SUCCEEDED));
});

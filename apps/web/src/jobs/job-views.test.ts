import { JobState, RunMode, type JobRecord } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { comparePlaces, countViews, parseView, placing, type JobView } from "./job-views.ts";
import { priorityValue } from "./priority.ts";
import { jobRecord, runValue } from "./samples.ts";

const nowMs = new Date(2026, 10, 21, 15, 0, 0).getTime();
const us = (ms: number) => BigInt(ms * 1000);
const hour = 3_600_000;
const assigned = [{ number: 1, workerId: "w", assignedAtUs: 1n }];
const jobs = {
  running: jobRecord({ id: "running", state: JobState.RUNNING, attempts: assigned, startedAtUs: us(nowMs - hour) }),
  runningNewer: jobRecord({ id: "running-newer", state: JobState.RUNNING, attempts: assigned, startedAtUs: us(nowMs) }),
  first: jobRecord({ id: "first-in-line", state: JobState.QUEUED, queuedAtUs: us(nowMs - hour) }),
  second: jobRecord({ id: "second-in-line", state: JobState.QUEUED, queuedAtUs: us(nowMs) }),
  starting: jobRecord({ id: "starting", state: JobState.QUEUED, attempts: assigned }),
  paused: jobRecord({
    id: "paused",
    state: JobState.PAUSED,
    attempts: assigned,
    spec: { generation: 2n, levers: [{ generation: 2n, value: runValue(RunMode.PAUSE) }] },
  }),
  lost: jobRecord({ id: "lost", state: JobState.LOST, attempts: assigned }),
  failed: jobRecord({ id: "failed", state: JobState.FAILED, endedAtUs: us(nowMs - 3 * hour) }),
  done: jobRecord({ id: "done", state: JobState.SUCCEEDED, endedAtUs: us(nowMs - hour) }),
  doneEarly: jobRecord({ id: "done-early", state: JobState.SUCCEEDED, endedAtUs: us(nowMs - 4 * hour) }),
  doneYesterday: jobRecord({ id: "done-yesterday", state: JobState.CANCELED, endedAtUs: us(nowMs - 20 * hour) }),
};

function viewJobs(all: readonly JobRecord[], view: JobView, now: number) {
  const place = placing(view, now);
  const places = all.flatMap((job) => place(job) ?? []);
  return places.sort(comparePlaces).map(({ job }) => job);
}

test("each view shows what its name says: what needs a person first, the ended last, the line in its order", () => {
  const shown = (view: JobView) => viewJobs(Object.values(jobs).reverse(), view, nowMs).map((job) => job.id);
  expect(shown("now")).toEqual([
    "lost",
    "starting",
    "running-newer",
    "running",
    "paused",
    "first-in-line",
    "second-in-line",
    "done",
  ]);
  expect(shown("needs-you")).toEqual(["failed", "lost"]);
  expect(shown("running")).toEqual(["starting", "running-newer", "running"]);
  expect(shown("waiting")).toEqual(["first-in-line", "second-in-line"]);
  expect(shown("paused")).toEqual(["paused"]);
  expect(shown("ended-today")).toEqual(["failed", "done", "done-early"]);
});

test("a job that failed needs a person for a day", () => {
  const at = (laterMs: number) => viewJobs([jobs.failed], "needs-you", nowMs - 3 * hour + laterMs).length;
  expect([at(24 * hour - 1), at(24 * hour)]).toEqual([1, 0]);
});

test("counts agree with what the views show", () => {
  expect(countViews(Object.values(jobs), nowMs)).toEqual({
    now: 8,
    "needs-you": 2,
    running: 3,
    waiting: 2,
    paused: 1,
    "ended-today": 3,
  });
});

test("the line is that of the queue: a higher priority goes before an older job", () => {
  const waiting = (id: string, queuedAtUs: bigint, priority = 0) =>
    jobRecord({
      id,
      state: JobState.QUEUED,
      queuedAtUs,
      spec: { generation: 1n, levers: [{ generation: 1n, value: priorityValue(priority) }] },
    });
  const line = [waiting("old", 1n), waiting("urgent", 3n, 5), waiting("young", 2n), waiting("idle", 0n, -1)];
  expect(viewJobs(line, "waiting", nowMs).map((job) => job.id)).toEqual(["urgent", "old", "young", "idle"]);
});

test("an unknown view in the URL is Now", () => {
  expect([parseView("paused"), parseView("everything"), parseView(null)]).toEqual(["paused", "now", "now"]);
});
